"""Llama-3.2-3B: every stage runs on a small random Llama, and the plan counts what a pass computes."""

import json
import weakref

import pytest
from click.testing import CliRunner

from experiments.cli import main
from experiments.domain_vs_broad import profiles, running
from experiments.domain_vs_broad.profiles import profile_of
from experiments.domain_vs_broad.profiles.llama_3b_random import LABEL, random_profile
from experiments.random_llama import LLAMA_3_2_3B
from experiments.report.report_files import read_report
from sae.host.host import HostModel

SMALL = {
    **LLAMA_3_2_3B,
    "hidden_size": 64,
    "vocab_size": 8192,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A run of the command from no host to its report, with how many hosts were alive whenever one was loaded."""
    work = tmp_path_factory.mktemp("llama")
    loaded, alive = [], []

    def small(hosts, data):
        return random_profile(hosts, SMALL, site="resid_post.0")

    def load(*arguments, **options):
        alive.append(sum(reference() is not None for reference in loaded))
        host = HostModel.load(*arguments, **options)
        loaded.append(weakref.ref(host))
        return host

    command = ["run", "domain-vs-broad", "--profile", "llama-3.2-3b-random", "--work", str(work), "--device", "cpu"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(profiles.PROFILES, "llama-3.2-3b-random", small)
        patch.setattr(running, "HostModel", type("Counting", (), {"load": staticmethod(load)}))
        result = CliRunner().invoke(main, [*command, "--json"])
    assert result.exit_code == 0, result.output
    return work, alive


@pytest.mark.slow
def test_every_stage_runs_and_one_host_is_in_memory_at_a_time(ran):
    work, alive = ran
    assert alive == [0, 0]
    adaptation = json.loads((work / "hosts" / "adapted" / "adaptation.json").read_text())
    assert adaptation["history"][-1]["step"] == 4
    assert adaptation["settings"]["lora_rank"] == 8
    assert (work / "hosts" / "adapted" / "host" / "model.safetensors").is_file()


@pytest.mark.slow
def test_the_report_says_at_once_that_weights_are_random(ran):
    report = read_report(ran[0] / "report")
    assert LABEL in report.title
    assert any(LABEL in warning.lower() for warning in report.warnings)
    assert report.profile == "llama-3.2-3b-random"


@pytest.mark.slow
def test_one_l0_is_listed_and_not_compared(ran):
    report = read_report(ran[0] / "report")
    assert "one L0: arms are listed, not compared at equal L0" in " ".join(report.findings)
    tables = {table.name: table for table in report.tables}
    for host in ("before", "after"):
        for text in ("domain", "broad"):
            rows = {row.label: row for row in tables[f"listed_{host}_{text}"].rows}
            assert {"domain", "broad"} <= set(rows)
            assert rows["domain"].cells["L0"].value > 0
            assert rows["domain"].cells["explained variance"].low is not None
    assert not any(name.startswith("matched_") for name in tables)


@pytest.mark.slow
def test_the_run_says_what_it_cost(ran):
    table = next(table for table in read_report(ran[0] / "report").tables if table.name == "cost")
    rows = {row.label: row.cells for row in table.rows}
    assert set(rows) == {"hosts", "cells"}
    assert all(float(cells["seconds"]) > 0 and float(cells["peak GB"]) > 0 for cells in rows.values())


def test_the_true_shape_is_the_published_one(tmp_path):
    wanted = profile_of("llama-3.2-3b-random", work=tmp_path)
    assert wanted.label == LABEL
    assert wanted.shape == profile_of("llama-3.2-3b", work=tmp_path).shape
    # the published size, of which norms are 28 x 2 + 1 rows of 3072
    assert wanted.shape.parameters + 57 * 3072 == 3_212_749_824
