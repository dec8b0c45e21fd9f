"""`sae train|info` on a small model and a corpus of its own words."""

import json

import pytest
from click.testing import CliRunner
from tiny_models import save_tiny_llama

from sae.cli import main
from sae.dictionary.autoencoder import SAE


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model directory and a corpus file beside it."""
    root = tmp_path_factory.mktemp("model")
    save_tiny_llama(root / "host")
    texts = [" ".join(f"w{(7 * i + 3 * j + i * j) % 44}" for j in range(12)) for i in range(400)]
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
        assert row["l0"] == pytest.approx(row["l0_target"], rel=0.1)
        assert row["ev_answer"] is None


def test_info_says_what_was_trained(model, tmp_path):
    assert train(model, tmp_path, "--sites", "resid_post.1", "--l0", "3", "--tokens", "1500").exit_code == 0
    facts = json.loads(CliRunner().invoke(main, ["info", str(tmp_path / "out" / "resid_post.1"), "--json"]).stdout)
    assert (facts["site"], facts["d_model"], facts["d_sae"]) == ("resid_post.1", 32, 48)
    assert facts["metadata"]["domain_circuits"]["training"]["k"] == 3.0
    assert CliRunner().invoke(main, ["info", str(tmp_path / "out" / "resid_post.1")]).exit_code == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--sites", "resid_post.1", "--l0", "many", "--tokens", "100"], "'many' is no comma list of numbers"),
        (["--sites", "resid_post.1", "--l0", "49", "--tokens", "100"], "l0 is 49.0"),
        (["--sites", "resid_post.1", "--l0", "2", "--tokens", "0"], "--tokens"),
        (["--sites", "resid_post.7", "--l0", "2", "--tokens", "100"], "resid_post.7"),
        (["--sites", "resid_post.1", "--l0", "2", "--tokens", "100", "--corpus", "no:such"], "there is no corpus 'no'"),
        (
            ["--sites", "resid_post.1", "--l0", "2", "--tokens", "100", "--architecture", "jumprelu"],
            "--architecture jumprelu is not available in this version",
        ),
    ],
)
def test_bad_input_is_one_clear_line(model, tmp_path, args, message):
    result = train(model, tmp_path, *args)
    assert result.exit_code in (1, 2)
    assert len([line for line in result.stderr.splitlines() if line.startswith("Error: ")]) == 1
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_info_of_what_is_no_sae(tmp_path):
    result = CliRunner().invoke(main, ["info", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
