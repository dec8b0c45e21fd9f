"""`circuits stability` on a small model that was saved to disk."""

import json
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from tiny_models import random_sae, save_tiny_llama

import circuits
from circuits.cli import main
from circuits.discovery import discover
from circuits.graph.circuit import Circuit
from circuits.reopening import reopen
from circuits.variation.stability import stability
from circuits.workbench import open_workbench
from sae.host.sites import Site

PROMPT, CONTRAST = "w1 w2 w3 w4 w5", "w1 w2 w7 w4 w5"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    save_tiny_llama(folder / "model")
    for layer in (0, 1):
        site = Site("resid_post", layer)
        random_sae(32, 64, site, seed=layer).save(folder / "saes" / str(site))
    lines = [" ".join(f"w{(7 * i + 3 * j * j) % 44}" for j in range(5)) for i in range(24)]
    (folder / "references.txt").write_text("\n".join(lines))
    records = [
        {
            "clean_prefix": f"w1 w2 w{i + 10} w4 w5",
            "patch_prefix": f"w1 w2 w{i + 20} w4 w5",
            "clean_answer": "w8",
            "patch_answer": "w9",
            "template": f"t{i % 2}",
        }
        for i in range(4)
    ]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, records)))
    return folder


@pytest.fixture(scope="module")
def bench(tiny):
    return open_workbench(str(tiny / "model"), saes=str(tiny / "saes"))


@pytest.fixture(scope="module")
def contrasted(bench):
    return discover(PROMPT, contrast=CONTRAST, foil="w9", top_k=6, workbench=bench)


@pytest.fixture(scope="module")
def of_pairs(bench, tiny):
    return discover(pairs=tiny / "pairs.jsonl", keep_wrong=True, top_k=6, workbench=bench)


@pytest.fixture(scope="module")
def referenced(bench, tiny):
    return discover(PROMPT, reference=tiny / "references.txt", foil="w9", top_k=6, workbench=bench)


def reasons(found):
    return {name: result.reason for name, result in found.variations.items() if result.reason is not None}


def test_of_a_contrast_prompt_the_path_and_the_precision_can_be_varied(contrasted, bench):
    found = stability(contrasted, workbench=bench)
    assert reasons(found) == {
        "bootstrap": "a single reference cannot be resampled",
        "seed": "nothing of the contrast baseline is drawn at random",
        "template": "the prompts have no templates",
    }
    assert found.variations["ig_steps"].settings == ("3 steps", "10 steps", "20 steps")
    assert found.variations["dtype"].settings == ("bfloat16",)
    assert found.reproduced == 1.0
    for node in found.circuit.features:
        parts = [found.variations[name].frequency.get(node.id, 0.0) for name in ("ig_steps", "dtype")]
        assert node.selection_frequency == pytest.approx(sum(parts) / 2)


def test_more_steps_keep_what_discovery_with_more_steps_keeps(contrasted, bench):
    found = stability(contrasted, vary="ig_steps", workbench=bench)
    own = {node.id for node in contrasted.features}
    shared = [
        len(own & {node.id for node in again.features})
        for steps in (3, 10, 20)
        for again in [discover(PROMPT, contrast=CONTRAST, foil="w9", top_k=6, ig_steps=steps, workbench=bench)]
    ]
    assert found.variations["ig_steps"].features_kept == pytest.approx(sum(shared) / 18)


def test_another_precision_keeps_what_discovery_in_it_keeps(contrasted, bench, tiny):
    found = stability(contrasted, vary="dtype", workbench=bench)
    other = open_workbench(str(tiny / "model"), saes=str(tiny / "saes"), dtype="bfloat16")
    again = discover(PROMPT, contrast=CONTRAST, target=contrasted.target, foil="w9", top_k=6, workbench=other)
    assert found.variations["dtype"].frequency == {node.id: 1.0 for node in again.features}
    varied = reopen(again, workbench=other).ensemble.first
    assert {x.dtype for x in varied.clean.values()} == {torch.float32}


def test_the_package_exports_the_function():
    assert circuits.stability is stability


def test_of_references_the_draw_and_the_seed_can_be_varied(referenced, bench):
    found = stability(referenced, draws=50, workbench=bench)
    assert found.variations["bootstrap"].n_runs == 50
    assert found.variations["seed"].settings == ("seed 1", "seed 2", "seed 3", "seed 4")
    assert reasons(found)["ig_steps"] == "the path's points are its 16 references, one each, however many steps"
    assert 0 < found.variations["seed"].jaccard.with_circuit.mean <= 1


def test_the_circuits_own_seed_keeps_the_circuit(referenced, bench, monkeypatch):
    """Identical repeats overlap wholly."""
    monkeypatch.setattr("circuits.variation.catalogue.N_SEEDS", 2)
    monkeypatch.setattr("circuits.variation.case.VariationCase.run_again", lambda case, *_: case.ensemble)
    found = stability(referenced, vary=["seed"], workbench=bench)
    assert found.variations["seed"].jaccard.with_circuit.mean == 1.0
    assert {node.selection_frequency for node in found.circuit.features} == {1.0}


def test_templates_are_circuits_of_their_own_pairs(of_pairs, bench, tiny, tmp_path):
    found = stability(of_pairs, vary="bootstrap,template", draws=20, workbench=bench)
    assert found.variations["template"].settings == ("t0", "t1")
    lines = (tiny / "pairs.jsonl").read_text().splitlines()
    kept = []
    for first in (0, 1):
        (tmp_path / "part.jsonl").write_text("\n".join(lines[first::2]))
        part = discover(pairs=tmp_path / "part.jsonl", keep_wrong=True, top_k=6, workbench=bench)
        kept += [node.id for node in part.features]
    assert found.variations["template"].frequency == {node: kept.count(node) / 2 for node in kept}


def test_a_rule_without_a_path_has_no_steps(bench):
    circuit = discover(PROMPT, contrast=CONTRAST, foil="w9", top_k=3, method="relp", workbench=bench)
    with pytest.raises(ValueError, match=r"no variation applies .* ig_steps: the rule relp walks no path"):
        stability(circuit, vary="ig_steps,bootstrap", workbench=bench)


def test_pairs_of_one_template_cannot_be_resampled(bench, tiny, tmp_path):
    lines = (tiny / "pairs.jsonl").read_text().splitlines()
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines[::2]))
    circuit = discover(pairs=tmp_path / "pairs.jsonl", keep_wrong=True, top_k=3, workbench=bench)
    found = stability(circuit, vary="bootstrap,ig_steps,template", workbench=bench)
    assert reasons(found) == {
        "bootstrap": "a single template cannot be resampled",
        "template": "all prompts have one template",
    }


def test_a_model_in_memory_has_one_precision(contrasted, bench, monkeypatch):
    monkeypatch.setattr(bench.host, "path", None)
    found = stability(contrasted, vary="dtype,ig_steps", workbench=bench)
    assert reasons(found) == {"dtype": "the model is in memory only and cannot be loaded in another precision"}


def test_scored_effects_are_not_scored_again(of_pairs, bench, tmp_path, monkeypatch):
    first = stability(of_pairs, vary="bootstrap,ig_steps", draws=20, workbench=bench, stages=tmp_path)
    monkeypatch.setattr("circuits.variation.case.score_nodes", lambda *_, **__: pytest.fail("was scored before"))
    again = stability(of_pairs, vary="bootstrap,ig_steps", draws=20, workbench=bench, stages=tmp_path)
    assert again.frequency == first.frequency


def test_a_circuit_that_skips_a_rank_is_not_quite_reproduced(contrasted, bench):
    top = contrasted.features[0]
    fewer = replace(contrasted, nodes=[node for node in contrasted.nodes if node != top], edges=())
    found = stability(fewer, vary="ig_steps", workbench=bench)
    assert found.reproduced < 1
    outside = [node for node in found.to_json()["nodes"] if not node["in_circuit"]]
    assert outside[0]["id"] == top.id


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"nodes": (), "edges": ()}, {}, "the circuit has no features"),
        ({"method": "mask"}, {}, "chosen by a learned mask"),
        ({}, {"draws": 1}, "draws is 1, expected at least 2"),
        ({}, {"vary": "luck"}, "variation 'luck' is unknown, expected all or of bootstrap, ig_steps"),
        ({}, {"vary": []}, "variation '' is unknown"),
    ],
)
def test_what_cannot_be_varied_is_refused(contrasted, bench, change, options, message):
    with pytest.raises(ValueError, match=message):
        stability(replace(contrasted, **change), workbench=bench, **options)


def run(*args):
    result = CliRunner().invoke(main, ["stability", *map(str, args)])
    return result


FILES = ["circuit.html", "circuit.json", "circuit.png", "circuit.safetensors", "stability.json"]


def test_a_circuit_is_saved_with_its_frequencies_in_its_own_place(contrasted, tmp_path):
    contrasted.save(tmp_path / "circuit")
    (tmp_path / "circuit" / "circuit.png").write_text("old")
    result = run(tmp_path / "circuit", "--vary", "ig_steps,template", "--force", "--json")
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    assert sorted(path.name for path in (tmp_path / "circuit").iterdir()) == FILES
    assert json.loads((tmp_path / "circuit" / "stability.json").read_text()) == printed
    assert (tmp_path / "circuit" / "circuit.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "circuit.stages").exists()
    saved = Circuit.load(tmp_path / "circuit")
    frequency = {node["id"]: node["selection_frequency"] for node in printed["nodes"]}
    for node in saved.features:
        assert node.selection_frequency == pytest.approx(frequency[node.id])
    assert saved.provenance["stability"]["variations"]["template"]["reason"] == "the prompts have no templates"
    assert reopen(saved).ensemble.clean_metric == pytest.approx(contrasted.metric.clean, abs=1e-5)


def test_pairs_are_discovered_first(tiny, tmp_path):
    options = ("--pairs", tiny / "pairs.jsonl", "--keep-wrong", "--top-k", 4, "--model", tiny / "model")
    result = run(
        *options, "--saes", tiny / "saes", "--draws", 30, "--vary", "bootstrap,template", "--out", tmp_path / "o"
    )
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == FILES
    for words in ("kept", "rank-biased", "bootstrap", "between runs", "null"):
        assert words in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["o"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "give one of CIRCUIT, --prompt and --pairs"),
        (("here", "--prompt", "w1"), "give one of CIRCUIT, --prompt and --pairs"),
        (("--pairs", "x", "--prompt", "w1"), "give one of CIRCUIT, --prompt and --pairs"),
        (("here", "--top-k", "3"), "--top-k: CIRCUIT was found already"),
    ],
)
def test_wrong_usage(args, message):
    result = run(*args)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_a_failure_leaves_no_output_behind(contrasted, tmp_path):
    contrasted.save(tmp_path / "circuit")
    result = run(tmp_path / "circuit", "--vary", "template", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "no variation applies" in result.stderr
    assert not (tmp_path / "out").exists()
