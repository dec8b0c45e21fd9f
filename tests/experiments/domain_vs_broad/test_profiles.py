"""The profiles: what each needs, what it says of itself, and where its hosts come from."""

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import constants

from experiments.cli import main
from experiments.domain_vs_broad import profiles
from experiments.domain_vs_broad.profiles import PROFILES, profile_of
from experiments.real_text.hosts import SMALL
from sae.corpora import read_corpus


@pytest.fixture
def data(tmp_path):
    """Books and other texts on either side."""
    for side in ("broad", "medical"):
        (tmp_path / "data" / side).mkdir(parents=True)
        for name in ("openstax_a", "openstax_b", "other"):
            path = tmp_path / "data" / side / f"{name}.jsonl.gz"
            _write(path, [f"{side} {name} {number}" for number in range(30)])
    return tmp_path / "data"


def _write(path, texts):
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in texts)


def test_an_unknown_profile_is_refused():
    with pytest.raises(ValueError, match="profile 'huge' is unknown, expected one of: clinic"):
        profile_of("huge", work=Path("work"))


@pytest.mark.parametrize("name", ["real-text", "real-text-openstax"])
def test_real_text_needs_text_and_tells_nobody_where_it_lies(name, data, tmp_path):
    with pytest.raises(ValueError, match="this profile needs text, expected --data DIR with broad/ and medical/"):
        profile_of(name, work=tmp_path)
    with pytest.raises(ValueError, match="has no directory 'broad', expected broad/ and medical/ with text files"):
        profile_of(name, work=tmp_path, data=tmp_path / "nowhere")
    wanted = profile_of(name, work=tmp_path / "work", data=data, seeds=2)
    assert wanted.seeds == (0, 1)
    assert wanted.to_json()["domain"].startswith("DATA/medical")
    assert str(tmp_path) not in json.dumps(wanted.to_json())


def test_openstax_reads_the_books_of_either_side(data, tmp_path):
    wanted = profile_of("real-text-openstax", work=tmp_path, data=data)
    for spec, side in ((wanted.domain, "medical"), (wanted.broad, "broad")):
        texts = list(read_corpus(spec))
        assert len(texts) == 60
        assert all(text.startswith(f"{side} openstax_") for text in texts)


def test_hosts_of_real_text_are_built_where_the_profile_looks_for_them(data, tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(
        profiles.real_text, "train_real_text_hosts", lambda *arguments, **options: built.append(arguments)
    )
    wanted = profile_of("real-text", work=tmp_path / "work", data=data)
    wanted.build("cpu")
    assert built == [(data, tmp_path / "work" / "hosts", SMALL)]
    assert dict(wanted.hosts)["after"] == str(tmp_path / "work" / "hosts" / "adapted" / "host")


def test_hosts_of_another_run_are_taken_as_they_are(data, tmp_path):
    hosts = tmp_path / "first" / "hosts"
    (hosts / "broad" / "host").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"has no finished host 'after', expected .*adapted/host; wait for the run"):
        profile_of("real-text-openstax", work=tmp_path / "second", data=data, hosts=hosts)
    (hosts / "adapted" / "host").mkdir(parents=True)
    wanted = profile_of("real-text-openstax", work=tmp_path / "second", data=data, hosts=hosts)
    assert wanted.build is None
    assert wanted.hosts == profile_of("real-text", work=tmp_path / "first", data=data).hosts


def test_a_profile_with_hosts_of_its_own_builds_none(tmp_path):
    assert profile_of("clinic", work=tmp_path).build is None
    with pytest.raises(ValueError, match="profile 'clinic' builds no hosts; leave out --hosts"):
        profile_of("clinic", work=tmp_path, hosts=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_text_that_is_missing_is_found_before_hosts_are_built(data, tmp_path):
    for path in (data / "medical").glob("openstax_*"):
        path.unlink()
    work = tmp_path / "work"
    ran = CliRunner().invoke(
        main,
        ["run", "domain-vs-broad", "--profile", "real-text-openstax", "--data", str(data), "--work", str(work)],
    )
    assert ran.exit_code == 1
    assert ran.output.startswith("Error: corpus ")
    assert "matches none of the 1 text files" in ran.output
    assert len(ran.output.splitlines()) == 1
    assert not work.exists()


def test_a_model_that_cannot_be_reached_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    wanted = profile_of("llama-3.2-3b", work=tmp_path)
    with pytest.raises(ValueError, match=r"cannot download 'meta-llama/Llama-3\.2-3B': no network") as refused:
        wanted.build("cpu")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_plans_without_building_anything(name, data, tmp_path):
    command = ["run", "domain-vs-broad", "--profile", name, "--data", str(data), "--work", str(tmp_path / "work")]
    planned = CliRunner().invoke(main, [*command, "--dry-run"])
    assert planned.exit_code == 0, planned.output
    assert "cells: 2 hosts" in planned.stdout
    assert not (tmp_path / "work").exists()
