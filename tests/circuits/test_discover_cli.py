"""`circuits discover|show|export` on a small model that was saved to disk."""

import json
import subprocess
import sys

import networkx as nx
import pytest
import torch
from click.testing import CliRunner
from tiny_models import random_sae, save_tiny_llama

from circuits.cli import main
from sae.host.sites import Site

PROMPT = "w1 w2 w3 w4 w5"
CONTRAST = "w1 w2 w7 w4 w5"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model directory with SAEs at its three resid_post sites and a file of references."""
    root = tmp_path_factory.mktemp("model")
    save_tiny_llama(root / "host")
    for layer in range(3):
        site = Site("resid_post", layer)
        random_sae(32, 64, site, seed=layer).save(root / "saes" / str(site))
    lines = [" ".join(f"w{(7 * i + 3 * j) % 44}" for j in range(4 + i % 4)) for i in range(24)]
    (root / "references.txt").write_text("\n".join(lines), encoding="utf-8")
    return root


def run(model, *args: str):
    options = ["--model", str(model / "host"), "--saes", str(model / "saes")]
    return CliRunner().invoke(main, ["discover", *options, *args])


def discover(model, tmp_path, *args: str):
    return run(model, "--prompt", PROMPT, "--foil", "w9", "--out", str(tmp_path / "out"), *args)


def test_discover_writes_four_files_and_a_table(model, tmp_path):
    result = discover(model, tmp_path, "--contrast", CONTRAST, "--top-k", "5")
    assert result.exit_code == 0, result.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "circuit.html",
        "circuit.json",
        "circuit.png",
        "circuit.safetensors",
    ]
    assert "aithful" in result.stdout
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_json_is_one_object_with_the_public_keys(model, tmp_path):
    result = discover(model, tmp_path, "--contrast", CONTRAST, "--top-k", "5", "--json")
    found = json.loads(result.stdout)
    assert found["command"] == "circuits discover"
    assert found["baseline"] == "contrast"
    assert found["method"] == "integrated_gradients"
    assert found["faithfulness"]["n_nodes"] == 5
    assert found["tokens"][1:] == PROMPT.split() or [t.strip() for t in found["tokens"][1:]] == PROMPT.split()
    node = found["nodes"][0]
    assert {
        "id",
        "site",
        "position",
        "token",
        "kind",
        "feature",
        "activation",
        "indirect_effect",
        "contribution",
        "label",
        "label_f1",
    } <= node.keys()
    assert node["contribution"] == -node["indirect_effect"]
    assert {"source", "target", "effect"} <= found["edges"][0].keys()
    for key in ("schema_version", "config", "seed", "versions", "model", "saes", "seconds", "metric", "site_residuals"):
        assert found[key] is not None
    assert found["metric"]["unit"] == "logits"


def test_a_lone_prompt_needs_references_or_a_contrast(model, tmp_path):
    refused = discover(model, tmp_path)
    assert refused.exit_code == 1
    assert "give --contrast TEXT or --reference FILE" in refused.stderr
    found = discover(model, tmp_path, "--reference", str(model / "references.txt"), "--top-k", "4", "--json")
    assert json.loads(found.stdout)["baseline"] == "resample"
    assert json.loads(found.stdout)["faithfulness"]["low"] is not None


@pytest.mark.parametrize("method", ["attribution_patching", "relp", "exact"])
@pytest.mark.parametrize("baseline", ["contrast", "zero", "mean"])
def test_methods_and_baselines(model, tmp_path, method, baseline):
    extra = ["--reference", str(model / "references.txt")]
    result = discover(
        model,
        tmp_path,
        "--contrast",
        CONTRAST,
        "--method",
        method,
        "--baseline",
        baseline,
        "--top-k",
        "3",
        "--json",
        *extra,
    )
    assert result.exit_code == 0, result.stderr
    assert len([n for n in json.loads(result.stdout)["nodes"] if n["kind"] == "feature"]) == 3


@pytest.mark.parametrize("method", ["mask", "frozen"])
def test_other_ways_to_rank(model, tmp_path, method):
    result = discover(model, tmp_path, "--contrast", CONTRAST, "--method", method, "--top-k", "3", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["method"] == method
    assert len([n for n in found["nodes"] if n["kind"] == "feature"]) == 3


def test_a_tolerance_is_kept_with_the_points_it_took(model, tmp_path):
    options = ["--ig-steps", "1", "--ig-rule", "left", "--ig-tolerance", "0.05", "--top-k", "3", "--json"]
    result = discover(model, tmp_path, "--contrast", CONTRAST, *options)
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["config"]["ig_rule"] == "left"
    assert found["points_by_site"].keys() == found["site_residuals"].keys()
    assert max(found["points_by_site"].values()) > 1


@pytest.mark.parametrize(("basis", "kind"), [("neurons", "mlp_neurons"), ("residual", "resid_post")])
def test_coordinate_bases(model, tmp_path, basis, kind):
    result = discover(model, tmp_path, "--contrast", CONTRAST, "--basis", basis, "--top-k", "6", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert {n["site"].split(".")[0] for n in found["nodes"]} == {kind}
    assert all(n["kind"] == "feature" for n in found["nodes"]), "coordinates leave no error"


def test_show_prints_what_was_discovered(model, tmp_path):
    written = json.loads(discover(model, tmp_path, "--contrast", CONTRAST, "--top-k", "5", "--json").stdout)
    shown = CliRunner().invoke(main, ["show", str(tmp_path / "out"), "--json"])
    assert json.loads(shown.stdout)["nodes"] == written["nodes"]
    assert CliRunner().invoke(main, ["show", str(tmp_path / "out" / "circuit.json")]).exit_code == 0


@pytest.mark.parametrize("file_format", ["graphml", "dot", "png", "svg", "html"])
def test_export(model, tmp_path, file_format):
    discover(model, tmp_path, "--contrast", CONTRAST, "--top-k", "5")
    path = tmp_path / f"circuit.{file_format}"
    args = ["export", str(tmp_path / "out"), "--format", file_format, "--out", str(path)]
    assert CliRunner().invoke(main, args).exit_code == 0
    assert path.stat().st_size > 0
    again = CliRunner().invoke(main, args)
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    assert CliRunner().invoke(main, [*args, "--force"]).exit_code == 0
    if file_format == "graphml":
        assert nx.read_graphml(path).number_of_nodes() >= 5


@pytest.mark.parametrize("file_format", ["viewer", "csv", "parquet"])
def test_export_into_a_directory(model, tmp_path, file_format):
    discover(model, tmp_path, "--contrast", CONTRAST, "--top-k", "5")
    args = ["export", str(tmp_path / "out"), "--format", file_format, "--out", str(tmp_path / "exported")]
    assert CliRunner().invoke(main, args).exit_code == 0
    assert len(list((tmp_path / "exported").iterdir())) >= 2
    assert "exists already" in CliRunner().invoke(main, args).stderr
    assert CliRunner().invoke(main, [*args, "--force"]).exit_code == 0


def test_export_shows_features_in_a_corpus(model, tmp_path):
    discover(model, tmp_path, "--contrast", CONTRAST, "--top-k", "5")
    corpus = str(model / "references.txt")
    args = ["export", str(tmp_path / "out"), "--out", str(tmp_path / "viewer"), "--contexts", corpus]
    result = CliRunner().invoke(main, [*args, "--format", "viewer", "--tokens", "100"])
    assert result.exit_code == 0, result.stderr
    files = [json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "viewer").glob("*/*.json")]
    assert len(files) > 0
    assert any(file["examples_quantiles"] for file in files)
    refused = CliRunner().invoke(main, [*args, "--format", "csv", "--force"])
    assert (refused.exit_code, "--contexts belongs to --format viewer" in refused.stderr) == (2, True)


def test_the_same_seed_gives_the_same_circuit(model, tmp_path):
    args = ["--reference", str(model / "references.txt"), "--top-k", "6", "--json"]
    first = json.loads(discover(model, tmp_path / "a", *args).stdout)
    second = json.loads(discover(model, tmp_path / "b", *args).stdout)
    assert first["nodes"] == second["nodes"]
    assert first["edges"] == second["edges"]
    assert first["faithfulness"] == second["faithfulness"]


def test_a_contrast_is_searched_shown_and_recorded(model, tmp_path):
    references = tmp_path / "references.txt"
    references.write_text("\n".join(f"w1 w2 w{i} w4 w5" for i in range(6, 40)))
    args = ["--contrast", "auto", "--reference", str(references), "--top-k", "5"]
    shown = run(model, "--prompt", PROMPT, "--out", str(tmp_path / "a"), *args)
    assert "Contrast found by replacing 'w3' by 'w" in shown.stdout
    found = json.loads(run(model, "--prompt", PROMPT, "--out", str(tmp_path / "b"), *args, "--json").stdout)
    search = found["contrast_search"]
    assert found["baseline"] == "contrast"
    assert found["config"]["contrast"] == search["contrast"]
    assert [each["position"] for each in search["replaced"]] == [3]
    assert search["prompts_tried"] <= 34


def test_without_a_contrast_to_find_references_are_used_and_it_is_said(model, tmp_path):
    references = tmp_path / "references.txt"
    references.write_text("w7 w8 w9 w10\nw11 w12 w13 w14")
    args = ["--contrast", "auto", "--reference", str(references), "--top-k", "5"]
    shown = run(model, "--prompt", PROMPT, "--out", str(tmp_path / "a"), *args)
    assert "No contrast was found by replacing up to three tokens" in shown.stdout
    assert json.loads((tmp_path / "a" / "circuit.json").read_text())["baseline"] == "resample"


def test_nodes_are_kept_by_cumulative_effect(model, tmp_path):
    everything = json.loads(
        discover(model, tmp_path, "--contrast", CONTRAST, "--cumulative", "1", "--json", "--nodes-only").stdout
    )
    part = json.loads(
        discover(model, tmp_path, "--contrast", CONTRAST, "--cumulative", "0.6", "--json", "--force").stdout
    )
    total = sum(abs(node["indirect_effect"]) for node in everything["nodes"] if node["kind"] == "feature")
    kept = [abs(node["indirect_effect"]) for node in part["nodes"] if node["kind"] == "feature"]
    assert sum(kept) >= 0.6 * total > sum(kept) - min(kept)


BAD = [
    (["--prompt", ""], "prompt"),
    (["--prompt", "   "], "prompt"),
    (["--prompt", " ".join(["w1"] * 80)], "64"),
    (["--prompt", PROMPT, "--contrast", "w1 w2 w7"], "first differ at token"),
    (["--prompt", PROMPT, "--target", ""], "target is ''"),
    (["--prompt", PROMPT, "--target", "w8", "--foil", "w8"], "target and foil are both"),
    (["--prompt", PROMPT, "--top-k", "0"], "--top-k"),
    (["--prompt", PROMPT, "--top-k", "-3"], "--top-k"),
    (["--prompt", PROMPT, "--ig-steps", "0"], "--ig-steps"),
    (["--prompt", PROMPT, "--faithfulness", "1.5"], "--faithfulness"),
    (["--prompt", PROMPT, "--faithfulness", "nan"], "--faithfulness"),
    (["--prompt", PROMPT, "--node-threshold", "inf"], "--node-threshold"),
    (["--prompt", PROMPT, "--edge-threshold", "-1"], "--edge-threshold"),
    (["--prompt", PROMPT, "--top-k", "3", "--faithfulness", "0.5"], "faithfulness and top_k were both given"),
    (["--prompt", PROMPT, "--sites", "resid_post.9"], "resid_post.9"),
    (["--prompt", PROMPT, "--sites", "nowhere"], "nowhere"),
    (["--prompt", PROMPT, "--method", "magic"], "magic"),
    (["--prompt", PROMPT, "--dtype", "float7"], "float7"),
    (["--prompt", PROMPT, "--device", "abacus"], "abacus"),
    (["--prompt", PROMPT, "--baseline", "contrast"], "no contrast was given"),
    (["--prompt", PROMPT, "--reference", "missing.txt"], "missing.txt"),
    (["--prompt", PROMPT, "--contrast", "auto"], "brings no reference prompts"),
    (["--prompt", PROMPT, "--contrast", "auto", "--target", "w8 w3"], "contrast 'auto' needs answers of one token"),
    (["--prompt", PROMPT, "--ig-rule", "right"], "--ig-rule"),
    (["--prompt", PROMPT, "--ig-tolerance", "0"], "--ig-tolerance"),
    (["--prompt", PROMPT, "--method", "mask", "--node-threshold", "1"], "method 'mask' does not rank by it"),
    (["--prompt", PROMPT, "--pairs", "x.jsonl"], "give either --prompt or --pairs"),
    ([], "give either --prompt or --pairs"),
    (["--pairs", "missing.jsonl"], "missing.jsonl"),
    (["--pairs", "x.jsonl", "--contrast", "w1"], "contrast: the pairs file says these for each pair"),
    (["--prompt", PROMPT, "--cumulative", "1.8"], "--cumulative"),
    (["--prompt", PROMPT, "--cumulative", "0.8", "--top-k", "3"], "top_k and cumulative were both given"),
]


@pytest.mark.parametrize(("args", "message"), BAD, ids=[" ".join(args[-2:])[:40] for args, _ in BAD])
def test_bad_input_is_one_clear_line(model, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    result = run(model, *args)
    assert result.exit_code in (1, 2)
    assert result.stdout == ""
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.rglob("circuit.*")), "nothing half-written is left behind"


def test_an_unknown_model_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = CliRunner().invoke(
        main, ["discover", "--model", "no/such-model", "--prompt", PROMPT, "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 1
    assert "no/such-model" in result.stderr
    assert result.stderr.count("\n") == 1


def test_existing_output_is_kept_without_force(model, tmp_path):
    (tmp_path / "out").mkdir()
    refused = discover(model, tmp_path, "--contrast", CONTRAST)
    assert refused.exit_code == 1
    assert "exists already" in refused.stderr
    assert discover(model, tmp_path, "--contrast", CONTRAST, "--top-k", "2", "--force").exit_code == 0


def test_saes_of_another_width_are_refused(model, tmp_path):
    site = Site("resid_post", 1)
    random_sae(16, 64, site).save(tmp_path / "narrow" / str(site))
    result = CliRunner().invoke(
        main,
        [
            "discover",
            "--model",
            str(model / "host"),
            "--saes",
            str(tmp_path / "narrow"),
            "--prompt",
            PROMPT,
            "--out",
            str(tmp_path / "out"),
        ],
    )
    assert result.exit_code == 1
    assert "16" in result.stderr
    assert "32" in result.stderr


def test_a_model_without_bundled_saes_asks_for_them(model, tmp_path):
    result = CliRunner().invoke(
        main, ["discover", "--model", str(model / "host"), "--prompt", PROMPT, "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 1
    assert "brings no SAEs; give --saes" in result.stderr


def test_a_truncated_circuit_is_one_clear_line(model, tmp_path):
    discover(model, tmp_path, "--contrast", CONTRAST, "--top-k", "5")
    arrays = tmp_path / "out" / "circuit.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-20])
    result = CliRunner().invoke(main, ["show", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


def test_the_python_interface_is_as_short_as_the_command(model):
    from circuits import Circuit, discover

    circuit = discover(
        PROMPT, model=str(model / "host"), saes=model / "saes", contrast=CONTRAST, foil="w9", top_k=4, nodes_only=True
    )
    assert isinstance(circuit, Circuit)
    assert circuit.edges == ()
    assert torch.isfinite(torch.tensor([node.indirect_effect for node in circuit.nodes])).all()


@pytest.mark.slow
def test_discover_does_not_import_sae_lens(model, tmp_path):
    code = (
        "import sys; from circuits.cli import main\n"
        f"main(['discover', '--model', {str(model / 'host')!r}, '--saes', {str(model / 'saes')!r}, "
        f"'--prompt', {PROMPT!r}, "
        f"'--contrast', {CONTRAST!r}, '--foil', 'w9', '--out', {str(tmp_path / 'out')!r}], standalone_mode=False)\n"
        "assert 'sae_lens' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
