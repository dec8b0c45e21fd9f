"""`circuits discover --pairs` on a small model that was saved to disk."""

import json

import pytest
import torch
from circuit_cases import contrast_runs, saes_at
from click.testing import CliRunner
from tiny_models import random_sae, save_tiny_llama

from circuits.cli import main
from circuits.effects import ensemble_effects
from circuits.effects.node_effects import score_nodes
from circuits.effects.stage_cache import StageCache
from circuits.evaluation.kept_share import faithfulness
from circuits.evaluation.masked_runs import ensemble_metrics
from circuits.graph.circuit import Circuit
from circuits.reopening import node_set, reopen
from circuits.runs.node_set import NodeSet
from sae.host.host import HostModel
from sae.host.sites import Site


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    root = tmp_path_factory.mktemp("model")
    save_tiny_llama(root / "host")
    for layer in range(3):
        site = Site("resid_post", layer)
        random_sae(32, 64, site, seed=layer).save(root / "saes" / str(site))
    return root


def pairs_file(path, n=4, *, templates=False):
    records = [
        {
            "clean_prefix": f"w1 w2 w{i + 10} w4 w5",
            "patch_prefix": f"w1 w2 w{i + 20} w4 w5",
            "clean_answer": "w8",
            "patch_answer": "w9",
            **({"template": f"t{i % 2}"} if templates else {}),
        }
        for i in range(n)
    ]
    path.write_text("\n".join(map(json.dumps, records)))
    return path


def discover(model, path, out, *args):
    options = ["--model", str(model / "host"), "--saes", str(model / "saes"), "--pairs", str(path), "--out", str(out)]
    return CliRunner().invoke(main, ["discover", *options, *args])


@pytest.mark.parametrize("templates", [False, True])
def test_one_circuit_for_all_pairs(model, tmp_path, templates):
    path = pairs_file(tmp_path / "pairs.jsonl", templates=templates)
    result = discover(model, path, tmp_path / "out", "--keep-wrong", "--top-k", "6", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["pairs"] == {"n": 4, "kept": 4, "excluded": []}
    assert found["tokens"][3] == "{w10|w11|w12|…}"
    assert (found["target"].strip(), found["foil"].strip()) == ("w8", "w9")
    assert found["faithfulness"]["n_nodes"] == 6
    share = found["faithfulness"]
    if templates:
        assert share["low"] <= share["value"] <= share["high"]
    else:  # drawn pair by pair, what there is to explain is not told apart from nothing
        assert (share["value"], share["low"], share["null"]) == (None, None, None)
        assert "is small against its spread" in share["reason"]
    assert max(found["site_residuals"].values()) < 10


def test_a_circuit_of_pairs_can_be_reopened(model, tmp_path):
    path = pairs_file(tmp_path / "pairs.jsonl", templates=True)
    assert discover(model, path, tmp_path / "out", "--keep-wrong", "--top-k", "6").exit_code == 0
    circuit = Circuit.load(tmp_path / "out")
    ensemble = reopen(circuit).ensemble
    metrics = ensemble_metrics(ensemble, [NodeSet({}), node_set(circuit)])
    share = faithfulness(metrics, metrics[0], ensemble.clean_metrics)[1].item()
    assert share == pytest.approx(circuit.faithfulness.value, abs=1e-5)
    path.write_text(path.read_text() + "\n")
    with pytest.raises(ValueError, match="is gone or was altered since the circuit was found"):
        reopen(circuit)


def test_pairs_that_the_model_answers_otherwise_are_left_out_and_listed(model, tmp_path):
    """Answers are chosen so that the first pair is answered as it says, and the second is the first, turned round."""
    host = HostModel.load(str(model / "host"))
    clean, patch = "w1 w2 w3 w4 w5", "w1 w2 w7 w4 w5"
    batch = host.batch([host.tokenise(clean), host.tokenise(patch)])
    first, second = host.forward(batch, logits_to_keep=1).logits[:, -1, 4:]
    lead = torch.minimum(first[:, None] - first, second - second[:, None])
    clean_answer, patch_answer = divmod(int(lead.argmax()), len(first))
    assert lead.max() > 0
    answers = {"clean_answer": f"w{clean_answer}", "patch_answer": f"w{patch_answer}"}
    right = {"clean_prefix": clean, "patch_prefix": patch, **answers}
    wrong = {"clean_prefix": patch, "patch_prefix": clean, **answers}
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(right) + "\n" + json.dumps(wrong))
    result = discover(model, path, tmp_path / "out", "--top-k", "3", "--json")
    assert result.exit_code == 0, result.stderr
    reason = "the model prefers patch_answer after clean_prefix"
    assert json.loads(result.stdout)["pairs"] == {"n": 2, "kept": 1, "excluded": [{"line": 2, "reason": reason}]}


def test_no_pair_left_is_one_line(model, tmp_path):
    record = {"clean_prefix": "w1 w2", "patch_prefix": "w1 w3", "clean_answer": "w8", "patch_answer": "w9"}
    swapped = {**record, "clean_answer": "w9", "patch_answer": "w8"}
    path = tmp_path / "pairs.jsonl"
    for one in (record, swapped):
        path.write_text(json.dumps(one))
        result = discover(model, path, tmp_path / "out", "--force")
        if result.exit_code:
            break
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert "no pair of" in errors[0]
    assert "is left (the model prefers" in errors[0]


def test_an_interrupted_run_is_taken_up(model, tmp_path, monkeypatch):
    """Pairs that were scored are read back, and the circuit is that of a run in one go."""
    path = pairs_file(tmp_path / "pairs.jsonl")
    assert discover(model, path, tmp_path / "whole", "--keep-wrong", "--top-k", "6").exit_code == 0
    scored = []

    def stop_at_third(runs, *arguments, **options):
        scored.append(runs)
        if len(scored) == 3:
            raise KeyboardInterrupt
        return score_nodes(runs, *arguments, **options)

    monkeypatch.setattr(ensemble_effects, "score_nodes", stop_at_third)
    assert discover(model, path, tmp_path / "out", "--keep-wrong", "--top-k", "6").exit_code != 0
    assert len(list((tmp_path / "out.stages").iterdir())) == 2
    result = discover(model, path, tmp_path / "out", "--keep-wrong", "--top-k", "6", "--resume")
    assert result.exit_code == 0, result.stderr
    assert len(scored) == 5
    assert not (tmp_path / "out.stages").exists()
    whole, resumed = Circuit.load(tmp_path / "whole"), Circuit.load(tmp_path / "out")
    assert (resumed.nodes, resumed.edges, resumed.faithfulness) == (whole.nodes, whole.edges, whole.faithfulness)


def test_without_resume_what_was_left_is_thrown_away(model, tmp_path):
    path = pairs_file(tmp_path / "pairs.jsonl", 2)
    (tmp_path / "out.stages").mkdir()
    (tmp_path / "out.stages" / "old").touch()
    assert discover(model, path, tmp_path / "out", "--keep-wrong", "--top-k", "2").exit_code == 0
    assert not (tmp_path / "out.stages").exists()


def test_a_damaged_stage_is_scored_again(tmp_path):
    runs = contrast_runs(saes_at("resid_post"))
    cache = StageCache(tmp_path)
    first = cache.effects(runs, lambda: score_nodes(runs), method="integrated_gradients")
    [file] = tmp_path.iterdir()
    again = cache.effects(runs, lambda: pytest.fail("was there already"), method="integrated_gradients")
    assert all(torch.equal(again[site].indirect_effect, first[site].indirect_effect) for site in first)
    file.write_bytes(file.read_bytes()[:100])
    cache.effects(runs, lambda: score_nodes(runs), method="integrated_gradients")
    cache.effects(runs, lambda: score_nodes(runs), method="attribution_patching")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_dry_run_writes_nothing_and_counts_passes(model, tmp_path):
    path = pairs_file(tmp_path / "pairs.jsonl")
    result = discover(model, path, tmp_path / "out", "--dry-run", "--json", "--ig-steps", "4", "--top-k", "3")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["prompts"], found["tokens_per_prompt"], found["references"]) == (4, 6, 1)
    assert found["backward_rows"] == {"nodes": 4 * 4 * 3}
    assert found["forward_rows"]["residuals"] == 4 * 3
    assert found["seconds"] > 0
    assert found["memory_bytes"] > 0
    assert [each.name for each in tmp_path.iterdir()] == ["pairs.jsonl"]
    shown = discover(model, path, tmp_path / "out", "--dry-run")
    assert "4 prompts of 6 tokens" in shown.stdout
