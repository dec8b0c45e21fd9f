"""`circuits evaluate` on a small model that was saved to disk."""

import io
import json

import pytest
from click.testing import CliRunner
from rich.console import Console
from tiny_models import random_sae, save_tiny_llama

from circuits.cli import main
from circuits.discovery import discover
from circuits.drawing.evaluation_plot import draw_evaluation
from circuits.drawing.evaluation_table import evaluation_table
from sae.host.sites import Site


@pytest.fixture(scope="module")
def circuit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    model = save_tiny_llama(folder / "model")
    for layer in range(2):
        site = Site("resid_post", layer)
        random_sae(32, 64, site, seed=layer).save(folder / "saes" / str(site))
    options = {"model": str(model), "saes": str(folder / "saes"), "top_k": 6}
    discover("w1 w2 w3 w4 w5", contrast="w1 w2 w7 w4 w5", foil="w9", **options).save(folder / "circuit")
    return folder / "circuit"


def run(circuit, *args: str):
    return CliRunner().invoke(main, ["evaluate", str(circuit), *args])


def test_it_writes_a_record_and_a_picture_and_prints_tables(circuit, tmp_path):
    result = run(circuit, "--nulls", "random_features,zero_dictionary", "--draws", "2", "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["curves.png", "evaluation.json"]
    for word in ("faithfulness", "completeness", "CPR", "CMD", "random features", "zero dictionary"):
        assert word in result.stdout


def test_json_is_one_object(circuit, tmp_path):
    result = run(circuit, "--nulls", "none", "--sizes", "2,4", "--out", str(tmp_path / "out"), "--json")
    found = json.loads(result.stdout)
    assert found["command"] == "circuits evaluate"
    assert [point["n_nodes"] for point in found["curves"]["at_baseline"]] == [2, 4]
    for key in ("schema_version", "config", "seed", "versions", "model", "saes", "seconds"):
        assert found[key] is not None


def test_what_is_withheld_is_said_and_drawn(circuit, tmp_path):
    run(circuit, "--nulls", "zero_dictionary", "--no-edges", "--out", str(tmp_path / "out"))
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert record["edges"] is None
    withheld = json.loads(json.dumps(record), object_hook=_without_value)
    draw_evaluation(withheld, tmp_path / "withheld.png")
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(evaluation_table(withheld))
    assert "withheld: too small" in console.export_text()


def _without_value(entry):
    """An estimate as it is where its denominator is small; a null without draws."""
    if entry.keys() == {"value", "low", "high", "reason"}:
        return dict.fromkeys(entry) | {"reason": "too small"}
    return dict.fromkeys(entry) if entry.keys() == {"mean", "low", "high"} else entry


def test_wrong_sizes_are_wrong_usage(circuit):
    assert run(circuit, "--sizes", "2,x").exit_code == 2


def test_an_unknown_null_leaves_nothing_behind(circuit, tmp_path):
    result = run(circuit, "--nulls", "luck", "--out", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "null 'luck' is unknown" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_circuit_of_a_learned_mask_is_evaluated_and_verified_by_its_effects(circuit, tmp_path):
    folder = circuit.parent
    options = {"model": str(folder / "model"), "saes": str(folder / "saes"), "top_k": 4, "ig_rule": "left"}
    masked = discover("w1 w2 w3 w4 w5", contrast="w1 w2 w7 w4 w5", foil="w9", method="mask", **options)
    masked.save(tmp_path / "masked")
    result = run(tmp_path / "masked", "--nulls", "none", "--sizes", "2,4", "--out", str(tmp_path / "out"), "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["config"]["ig_rule"] == "left"
    verified = CliRunner().invoke(main, ["verify", str(tmp_path / "masked"), "--out", str(tmp_path / "verified")])
    assert verified.exit_code == 0, verified.stderr
