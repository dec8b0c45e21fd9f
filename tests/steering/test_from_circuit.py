"""A circuit's features as something to steer along."""

import json

import pytest
from click.testing import CliRunner

from circuits.discovery import discover
from sae.bundle import find_bundle
from sae.host.sites import Site
from steering.circuit_features import read_circuit_features
from steering.cli import main
from steering.directions import Feature

PROMPT = "We see an old man with tiredness, night sweats and lymphadenopathy. The most likely diagnosis is"
CONTRAST = "We see an old man with cough, night sweats and lymphadenopathy. The most likely diagnosis is"
QUICK = ("--statistics-tokens", "1000", "--max-new-tokens", "3", "--json")
NEEDS_BUNDLE = pytest.mark.skipif(find_bundle("clinic") is None, reason="the bundled model is not in this checkout")


def node(name: str, contribution: float, kind: str = "feature") -> dict:
    site, feature = name.split("/")
    return {"kind": kind, "site": site, "feature": int(feature), "contribution": contribution}


RECORD = {
    "prompt": "w1 w2",
    "target": "a",
    "foil": "b",
    "model": {"name": "tiny"},
    "saes": [{"site": "resid_post.1", "path": "nowhere", "sha256": "0"}],
    "nodes": [
        node("resid_post.1/3", 1.0),
        node("resid_post.1/4", 1.5),
        node("resid_post.1/3", 0.75),
        node("resid_post.1/5", -2.0),
        node("resid_post.1/6", 9.0, kind="error"),
    ],
}


@pytest.fixture
def circuit(tmp_path):
    def write(**changes):
        (tmp_path / "circuit.json").write_text(json.dumps(RECORD | changes))
        return tmp_path

    return write


def test_contributions_are_summed_over_positions_and_errors_are_no_features(circuit):
    found = read_circuit_features(circuit())
    three, four, five = (Feature(Site("resid_post", 1), index) for index in (3, 4, 5))
    assert found.contributions == {three: 1.75, four: 1.5, five: -2.0}
    assert found.strongest(5) == [three, four]
    assert found.strongest(1) == [three]
    assert found.strongest(5, supporting=False) == [five]
    assert found.prompt == "w1 w2"
    assert read_circuit_features(circuit(config={"pairs": "p.jsonl"})).prompt is None


def test_what_cannot_be_steered_along_is_one_line(circuit, tiny_host, tmp_path):
    with pytest.raises(ValueError, match="no feature of the circuit supports 'a'"):
        read_circuit_features(circuit(nodes=[])).strongest(3)
    with pytest.raises(ValueError, match="is no longer at 'nowhere'; put it back or give --saes"):
        read_circuit_features(circuit()).load_saes(tiny_host, [Feature(Site("resid_post", 1), 3)])
    with pytest.raises(ValueError, match=r"does not say where its SAE at resid_post.0 is"):
        read_circuit_features(circuit()).load_saes(tiny_host, [Feature(Site("resid_post", 0), 3)])
    with pytest.raises(ValueError, match="is no whole circuit"):
        read_circuit_features(circuit(model=None))
    (tmp_path / "circuit.json").write_text("{")
    with pytest.raises(ValueError, match="is not whole JSON"):
        read_circuit_features(tmp_path)
    with pytest.raises(ValueError, match="cannot be read"):
        read_circuit_features(tmp_path / "none.json")


@NEEDS_BUNDLE
def test_ablating_the_features_behind_an_answer_takes_it_away(tmp_path):
    found = discover(PROMPT, contrast=CONTRAST)
    found.save(tmp_path / "circuit")
    preset = str(tmp_path / "p.json")
    command = (
        "from-circuit",
        str(tmp_path / "circuit"),
        "--top",
        "8",
        "--positions",
        "prompt",
        "--save-preset",
        preset,
    )
    result = CliRunner().invoke(main, [*command, *QUICK])
    assert result.exit_code == 0, result.stderr
    plain, ablated = json.loads(result.stdout)["rows"]
    assert plain["text"].strip().startswith(found.target.strip())
    assert not ablated["text"].strip().startswith(found.target.strip())
    expected = read_circuit_features(tmp_path / "circuit").strongest(8)
    assert [f"{edit['site']}/{edit['feature']}" for edit in ablated["edits"]] == [feature.name for feature in expected]
    again = CliRunner().invoke(main, ["generate", "--prompt", PROMPT, "--preset", preset, *QUICK])
    assert json.loads(again.stdout)["rows"] == [ablated]
