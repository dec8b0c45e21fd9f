"""The commands of `sae` on a small model and a corpus of its own words."""

import json
import random

import pytest
from click.testing import CliRunner
from tiny_models import save_tiny_llama

from sae.cli import main
from sae.dictionary.autoencoder import SAE

NESTED = ("--architecture", "matryoshka")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model directory and a corpus file beside it."""
    root = tmp_path_factory.mktemp("model")
    save_tiny_llama(root / "host")
    rng = random.Random(0)
    texts = [" ".join(f"w{rng.randrange(44)}" for _ in range(12)) for _ in range(400)]
    (root / "corpus.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    return root


def train(model, tmp_path, *args: str):
    options = ["--model", str(model / "host"), "--corpus", str(model / "corpus.jsonl"), "--d-sae", "48"]
    return CliRunner().invoke(main, ["train", *options, "--out", str(tmp_path / "out"), *args])


def test_several_saes_are_trained_at_once(model, tmp_path):
    result = train(model, tmp_path, "--sites", "resid_post.1,mlp_out.0", "--l0", "2,4", "--tokens", "3000", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert [(row["site"], row["l0_target"]) for row in found["saes"]] == [
        ("mlp_out.0", 2.0), ("mlp_out.0", 4.0), ("resid_post.1", 2.0), ("resid_post.1", 4.0),
    ]  # fmt: skip
    for row in found["saes"]:
        sae = SAE.load(row["path"])
        assert (str(sae.site), sae.d_sae) == (row["site"], 48)
        # set on 256 tokens and judged on 256 others
        assert row["l0"] == pytest.approx(row["l0_target"], rel=0.15)
        assert (row["ev_answer"], row["n_answers"]) == (None, 0)
        assert row["delta_ce"] is not None


def test_info_says_what_was_trained(model, tmp_path):
    assert train(model, tmp_path, "--sites", "resid_post.1", "--l0", "3", "--tokens", "1500").exit_code == 0
    facts = json.loads(CliRunner().invoke(main, ["info", str(tmp_path / "out" / "resid_post.1"), "--json"]).stdout)
    assert (facts["site"], facts["d_model"], facts["d_sae"]) == ("resid_post.1", 32, 48)
    assert facts["metadata"]["domain_circuits"]["training"]["l0"] == 3.0
    assert CliRunner().invoke(main, ["info", str(tmp_path / "out" / "resid_post.1")]).exit_code == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--sites", "resid_post.1", "--l0", "many", "--tokens", "100"], "'many' is no comma list of numbers"),
        (["--sites", "resid_post.1", "--l0", "49", "--tokens", "100"], "l0 is 49.0"),
        (["--sites", "resid_post.1", "--l0", "2", "--tokens", "0"], "--tokens"),
        (["--sites", "resid_post.7", "--l0", "2", "--tokens", "100"], "resid_post.7"),
        (["--sites", "resid_post.1", "--l0", "2", "--tokens", "100", "--corpus", "no:such"], "there is no corpus 'no'"),
        (["--l0", "2", "--tokens", "100"], "--corpus needs --sites"),
        (
            [
                "--sites",
                "resid_post.1",
                "--l0",
                "2",
                "--tokens",
                "9",
                "--bandwidth",
                "1",
                "--architecture",
                "batchtopk",
            ],
            "--bandwidth needs --architecture jumprelu, not batchtopk",
        ),
        (["--sites", "resid_post.1", "--l0", "2", "--tokens", "100", "--store", "s"], "either --corpus or --store"),
        (["--sites", "resid_post.1", "--l0", "2", "--tokens", "100", "--kl", "1"], "give it with --from"),
        (["--sites", "resid_post.1", "--l0", "2", "--tokens", "100", "--d-sae", "1.5"], "no comma list of whole"),
        (
            ["--sites", "resid_post.1", "--l0", "2", "--tokens", "9", *NESTED, "--objective", "step"],
            "--objective needs --architecture jumprelu, not matryoshka",
        ),
        (
            ["--sites", "resid_post.1", "--l0", "2", "--tokens", "9", *NESTED, "--from", "x"],
            "--from needs --architecture jumprelu, not matryoshka",
        ),
        (
            ["--sites", "resid_post.1", "--l0", "2", "--tokens", "9", *NESTED, "--kernel", "triton"],
            "--kernel triton does not train matryoshka",
        ),
        (
            ["--sites", "resid_post.1", "--l0", "2", "--tokens", "9", "--prefixes", "1/2,1"],
            "--prefixes needs --architecture matryoshka, not jumprelu",
        ),
        (
            ["--sites", "resid_post.1", "--l0", "2", "--tokens", "9", *NESTED, "--prefixes", "1/2,1/0"],
            "'1/2,1/0' is no comma list of shares, as in 1/4,1/2,1",
        ),
        (
            ["--sites", "resid_post.1", "--l0", "2", "--tokens", "9", *NESTED, "--prefixes", "1/2,1/4,1"],
            "prefixes are 0.5,0.25,1, expected increasing shares of d_sae that end at 1",
        ),
    ],
)
def test_bad_input_is_one_clear_line(model, tmp_path, args, message):
    result = train(model, tmp_path, *args)
    assert result.exit_code in (1, 2)
    assert len([line for line in result.stderr.splitlines() if line.startswith("Error: ")]) == 1
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def run(*args: str):
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    assert result.exit_code == 0, result.stderr
    return result


def test_a_store_is_harvested_described_and_trained_on(model, tmp_path):
    host = ["--model", model / "host"]
    harvest = ["harvest", *host, "--corpus", model / "corpus.jsonl", "--sites", "resid_post.*", "--tokens", "2000"]
    stored = json.loads(run(*harvest, "--out", tmp_path / "store", "--json").stdout)["store"]
    assert stored["tokens"] == 2000
    assert json.loads(run("info", tmp_path / "store", "--json").stdout)["missing"] is None
    options = ["--d-sae", "48", "--l0", "3", "--tokens", "2000", "--sites", "resid_post.1"]
    trained = run("train", *host, "--store", tmp_path / "store", *options, "--out", tmp_path / "out", "--json")
    assert [row["site"] for row in json.loads(trained.stdout)["saes"]] == ["resid_post.1"]


def test_a_run_resumes_to_its_result_and_is_drawn(model, tmp_path):
    options = ["--sites", "resid_post.1", "--l0", "3", "--tokens", "1500", "--json"]
    first = json.loads(train(model, tmp_path, *options).stdout)["saes"]
    again = train(model, tmp_path, *options, "--resume")
    assert json.loads(again.stdout)["saes"] == first
    refused = train(model, tmp_path, *options)
    assert refused.exit_code == 1
    assert "exists already" in refused.stderr
    assert json.loads(run("info", tmp_path / "out", "--json").stdout)["last"]["resid_post.1"]["l0_target"] == 3.0
    assert (tmp_path / "out" / "curves.png").is_file()


def test_an_sae_is_fine_tuned_with_the_kl(model, tmp_path):
    assert train(model, tmp_path, "--sites", "resid_post.1", "--l0", "3", "--tokens", "1500").exit_code == 0
    start = ["--from", str(tmp_path / "out" / "resid_post.1"), "--kl", "1", "--batch-tokens", "64"]
    tuned = train(
        model, tmp_path, "--sites", "resid_post.1", "--l0", "3", "--tokens", "320", *start, "--force", "--json"
    )
    assert tuned.exit_code == 0, tuned.stderr
    assert len(json.loads(tuned.stdout)["saes"]) == 1


def test_settings_of_the_thresholds_are_recorded(model, tmp_path):
    options = ["--bandwidth", "0.5", "--initial-threshold", "1", "--gradient-through-window"]
    options += ["--loss-unit", "variance", "--clipping", "row"]
    assert train(model, tmp_path, "--sites", "resid_post.1", "--l0", "3", "--tokens", "900", *options).exit_code == 0
    record = SAE.load(tmp_path / "out" / "resid_post.1").metadata["domain_circuits"]["training"]
    assert (record["bandwidth"], record["initial_threshold"]) == (0.5, 1.0)
    assert (record["loss_unit"], record["clipping"]) == ("variance", "row")
    assert record["gradient_through_window"]


def test_nested_prefixes_are_trained_recorded_and_resumed(model, tmp_path):
    options = ["--sites", "resid_post.1", "--l0", "3", "--tokens", "900", *NESTED, "--prefixes", "1/3,0.5,1"]
    result = train(model, tmp_path, *options)
    assert result.exit_code == 0, result.stderr
    record = SAE.load(tmp_path / "out" / "resid_post.1").metadata["domain_circuits"]["training"]
    assert (record["architecture"], record["prefix_sizes"]) == ("matryoshka", [16, 24, 48])
    assert len(record["final_prefix_fvu"]) == 3
    assert train(model, tmp_path, *options, "--resume").stdout == result.stdout


def test_the_table_says_why_there_is_nothing_at_the_answer(model, tmp_path, monkeypatch):
    options = ["--sites", "resid_post.1", "--l0", "3", "--tokens", "900"]
    result = train(model, tmp_path, *options)
    assert "corpus.jsonl does not say where its answers are due" in result.stdout
    prompts = [f"w{i} w{2 * i}" for i in range(20)]
    monkeypatch.setattr("sae.training.corpus_training.answer_prompts", lambda name, seed: iter(prompts))
    result = train(model, tmp_path, *options, "--force")
    assert " at the answer)" in result.stdout
    assert "does not say" not in result.stdout


def test_features_are_looked_at_and_converted(model, tmp_path):
    assert train(model, tmp_path, "--sites", "resid_post.1", "--l0", "3", "--tokens", "1500").exit_code == 0
    sae = tmp_path / "out" / "resid_post.1"
    look = ["features", sae, "--model", model / "host", "--corpus", model / "corpus.jsonl", "--tokens", "500"]
    overview = json.loads(run(*look, "--out", tmp_path / "overview", "--json").stdout)
    assert len(overview["features"]) == 48
    one = run(*look, "--id", "5", "--out", tmp_path / "one")
    assert "5" in one.stdout
    assert "<html" in (tmp_path / "one" / "features.html").read_text("utf-8")
    run("convert", sae, tmp_path / "converted", "--to", "dictionary_learning")
    assert SAE.load(tmp_path / "converted").d_sae == 48


def test_the_doctor_finds_nothing(model):
    found = json.loads(run("doctor", "--no-host", "--json").stdout)
    assert found["passed"]
    assert len(found["checks"]) > 10


def test_info_of_what_is_no_sae(tmp_path):
    result = CliRunner().invoke(main, ["info", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
