"""`circuits verify|intervene|minimise` on a circuit of a small model on disk."""

import json
import shutil
from dataclasses import replace

import pytest
from click.testing import CliRunner
from tiny_models import random_sae, save_tiny_llama

from circuits.cli import main
from circuits.discovery import discover
from circuits.graph.circuit import Circuit
from circuits.verification.verifying import verify
from sae.host.sites import Site


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    model = save_tiny_llama(folder / "model")
    for layer in (0, 1):
        site = Site("resid_post", layer)
        random_sae(32, 64, site, seed=layer).save(folder / "saes" / str(site))
    options = {"model": str(model), "saes": str(folder / "saes"), "sites": "resid_post.0,resid_post.1"}
    for foil in (f"w{index}" for index in range(10, 40)):
        prompts = {"contrast": "w1 w2 w7 w4 w5", "foil": foil}
        circuit = discover("w1 w2 w3 w4 w5", **prompts, top_k=8, exact_edges=True, **options)
        if 0.5 < circuit.faithfulness.share_kept_without_errors < 1.5:
            break
    circuit.save(folder / "circuit")
    return folder / "circuit"


def run(*args):
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout) if "--json" in args else result.stdout


def test_verify_saves_what_it_measured(found, tmp_path):
    printed = run("verify", found, "--top", "4", "--out", tmp_path / "out", "--json")
    assert printed["command"] == "circuits verify"
    assert printed["agreement"]["nodes"]["n"] == len(printed["nodes"]) == 4
    saved = Circuit.load(tmp_path / "out")
    assert {n.id for n in saved.nodes if n.exact_effect is not None} == {n["id"] for n in printed["nodes"]}
    assert saved.nodes[0].exact_effect == pytest.approx(printed["nodes"][0]["exact_effect"])
    assert "rank correlation" in run("verify", found, "--top", "3", "--out", tmp_path / "text")


def test_edges_measure_as_in_a_discovery(found, tmp_path):
    before = {(e.source, e.target): e.exact_effect for e in Circuit.load(found).edges}
    printed = run("verify", found, "--top", "50", "--out", tmp_path / "out", "--json")
    assert printed["edges"]
    for edge in printed["edges"]:
        assert edge["exact_effect"] == pytest.approx(before[edge["source"], edge["target"]], abs=1e-4)


def test_force_alone_saves_in_place(found, tmp_path):
    shutil.copytree(found, tmp_path / "circuit")
    (tmp_path / "circuit" / "notes.txt").write_text("kept")
    printed = run("verify", tmp_path / "circuit", "--top", "2", "--force", "--json")
    assert printed["out"] == str(tmp_path / "circuit")
    assert sum(n.exact_effect is not None for n in Circuit.load(tmp_path / "circuit").nodes) == 2
    assert (tmp_path / "circuit" / "notes.txt").read_text() == "kept"


def test_an_output_that_exists_is_refused_before_anything_is_measured(found, tmp_path):
    result = CliRunner().invoke(main, ["verify", str(tmp_path / "no circuit"), "--out", str(found)])
    assert result.exit_code == 1
    assert "exists already" in result.stderr


def test_a_circuit_of_a_learned_mask_is_verified(found):
    circuit = replace(Circuit.load(found), method="mask")
    verified, plain = verify(circuit, top=5), verify(found, top=5)
    assert [e.exact_effect for e in verified.circuit.edges] == [e.exact_effect for e in plain.circuit.edges]


@pytest.mark.parametrize(("top", "part", "message"), [(0, {}, "top is 0"), (5, {"nodes": (), "edges": ()}, "no nodes")])
def test_what_cannot_be_verified_is_said(found, top, part, message):
    with pytest.raises(ValueError, match=message):
        verify(replace(Circuit.load(found), **part), top=top)


def test_intervene_prints_before_and_after(found):
    node = Circuit.load(found).features[0]
    printed = run("intervene", found, "--to-baseline", node.id, "--json")
    change = printed["metric"]["after"] - printed["metric"]["before"]
    verified = run("verify", found, "--top", "50", "--out", found.parent / "all", "--json")["nodes"]
    [expected] = [each["exact_effect"] for each in verified if each["id"] == node.id]
    assert change == pytest.approx(expected, abs=1e-4)
    assert printed["metric"]["change"]["null"] > 0
    assert "KL divergence" in run("intervene", found, "--ablate", f"{node.site}/{node.feature}@*")


def test_minimise_saves_features_and_edges_that_keep_enough(found, tmp_path):
    printed = run("minimise", found, "--faithfulness", "0.3", "--out", tmp_path / "out", "--json")
    facts, saved = printed["minimised"], Circuit.load(tmp_path / "out")
    assert printed["command"] == "circuits minimise"
    assert facts["judged_by"] == "value"
    assert facts["nodes"] == len(saved.features) <= facts["from_nodes"]
    assert saved.faithfulness.value > 0.3
    assert facts["edges_keep_enough"] == (facts["kept_with_edges"] > 0.3)
    text = run("minimise", found, "--faithfulness", "0.3", "--nodes-only", "--out", tmp_path / "text")
    assert "features keep more than 0.3" in text
    assert Circuit.load(tmp_path / "text").edges == ()
