"""Presets: nothing is lost, and another model or dictionary is refused."""

import json

import pytest
from tiny_models import random_sae, save_tiny_llama, tiny_llama

from sae.host.host import HostModel
from sae.host.sites import Site
from steering.dictionaries import Dictionaries
from steering.directions import random_direction
from steering.interventions import Intervention, SteeringSpec
from steering.parsing import parse_edit
from steering.presets import load_preset, save_preset
from steering.steered_host import SteeredHost

SITE = Site("resid_post", 1)
SPEC = SteeringSpec(
    (
        parse_edit("resid_post.1/3:clamp=2@generated"),
        Intervention(random_direction(Site("resid_post", 0), 32), "project", 0.5, "raw", "last"),
    )
)


def steered(host=None, seed: int = 0) -> SteeredHost:
    host = host or tiny_llama()
    return SteeredHost(host, Dictionaries(host, saes={SITE: random_sae(site=SITE, seed=seed)}))


def test_a_preset_is_read_as_it_was_written(tmp_path):
    save_preset(tmp_path / "p.json", steered(), SPEC)
    assert load_preset(tmp_path / "p.json", steered()) == SPEC
    with pytest.raises(ValueError, match="exists already; give another name or add --force"):
        save_preset(tmp_path / "p.json", steered(), SPEC)
    save_preset(tmp_path / "p.json", steered(), SteeringSpec(), force=True)
    assert load_preset(tmp_path / "p.json", steered()) == SteeringSpec()
    assert [path.name for path in tmp_path.iterdir()] == ["p.json"]


def test_a_preset_of_another_model_is_refused_in_one_line(tmp_path, tiny_llama_path):
    own = HostModel.load(str(tiny_llama_path))
    other = HostModel.load(str(save_tiny_llama(tmp_path / "other", seed=1)))
    save_preset(tmp_path / "p.json", steered(own), SPEC)
    assert load_preset(tmp_path / "p.json", steered(own)) == SPEC
    with pytest.raises(ValueError, match=r"is for model .*tiny' .*, not for .*other' .*; give that --model") as refused:
        load_preset(tmp_path / "p.json", steered(other))
    assert "\n" not in str(refused.value)


def test_a_preset_of_other_dictionaries_is_refused(tmp_path):
    save_preset(tmp_path / "p.json", steered(), SPEC)
    with pytest.raises(ValueError, match=r"steers features of another SAE at resid_post\.1"):
        load_preset(tmp_path / "p.json", steered(seed=1))


def test_a_spec_that_does_not_fit_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        save_preset(tmp_path / "p.json", steered(), SteeringSpec((parse_edit("resid_post.1/999:ablate"),)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not whole JSON"),
        ("[]", "is no steering preset"),
        ('{"kind": "steering preset", "schema_version": 9}', "is no steering preset of version 1"),
        ('{"kind": "steering preset", "schema_version": 1}', "is damaged"),
        ('{"kind": "steering preset", "schema_version": 1, "model": 3, "saes": [], "edits": []}', "is damaged"),
    ],
)
def test_what_is_no_preset_is_refused(tmp_path, text, message):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_preset(tmp_path / "p.json", steered())
    with pytest.raises(ValueError, match="cannot be read"):
        load_preset(tmp_path / "none.json", steered())


def test_a_number_in_a_preset_must_be_finite(tmp_path):
    save_preset(tmp_path / "p.json", steered(), SPEC)
    record = json.loads((tmp_path / "p.json").read_text())
    record["edits"][0]["value"] = float("nan")
    (tmp_path / "p.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="has the value nan, expected a finite one"):
        load_preset(tmp_path / "p.json", steered())
