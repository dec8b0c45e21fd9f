"""A whole evaluation of a small dictionary, as a library call and as a program."""

import io
import json

import pytest
import torch
from click.testing import CliRunner
from evaluation_cases import SITE, at_site, texts
from rich.console import Console
from tiny_models import random_sae, save_tiny_llama

from sae import evaluate
from sae.cli import main
from sae.evaluation.degenerate import identity_sae
from sae.evaluation.evaluation_table import number_with_interval, render_evaluation
from sae.evaluation.table_files import load_table
from sae.host.sites import Site


@pytest.fixture(scope="module")
def found(tiny_host):
    return evaluate(at_site(random_sae(seed=3)), tiny_host, texts(), n_tokens=200)


def test_every_column_has_every_number_with_its_interval(found):
    report = found.to_json()

    assert report["documents"]["n_tokens"] == sum(report["documents"]["n_tokens_by_class"].values()) == 200
    assert list(report["measurements"]) == ["all", "answer", "concept", "other"]
    for columns in report["measurements"].values():
        assert list(columns) == ["sae", "zero", "mean", "random", "pca"]
        for numbers in columns.values():
            for measurement in numbers.values():
                assert measurement["value"] is None or measurement["low"] is not None
    json.dumps(report, allow_nan=False)


def test_the_nulls_are_worse_than_a_perfect_dictionary(tiny_host):
    found = evaluate(at_site(identity_sae(32)), tiny_host, texts(), n_tokens=200, nulls=["zero", "mean"])

    assert found.measurement("explained_variance").value == pytest.approx(1, abs=1e-6)
    assert found.measurement("delta_ce").value == pytest.approx(0, abs=1e-5)
    assert found.measurement("delta_ce", column="mean").value != 0
    assert found.columns == ("sae", "zero", "mean")


def test_only_wanted_classes_are_reported(found):
    assert list(found.to_json(["answer"])["measurements"]) == ["all", "answer"]


@pytest.mark.parametrize(
    ("sae", "message"),
    [
        (random_sae(), "the SAE does not say its site, expected a hook_name"),
        (at_site(random_sae(), Site("resid_post", 9)), "model 'tiny' has no site resid_post.9"),
        (at_site(random_sae(d_model=8)), "has d_model 8, but model 'tiny' has 32"),
    ],
)
def test_a_dictionary_of_another_host_is_refused(tiny_host, sae, message):
    with pytest.raises(ValueError, match=message):
        evaluate(sae, tiny_host, texts())


def test_an_unknown_metric_is_refused(found):
    with pytest.raises(ValueError, match="metric 'ev' is unknown, expected one of explained_variance,"):
        found.measurement("ev")


def test_the_table_fits_into_a_terminal(found):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render_evaluation(found.to_json()))
    text = console.export_text()

    assert "…" not in text
    assert "EV of dimensions" in text
    assert "answers with sae" in text


def test_numbers_are_written_shortly():
    assert number_with_interval({"value": 0.5, "low": 0.25, "high": 0.75}) == "0.500 [0.250, 0.750]"
    assert number_with_interval({"value": -1e-9, "low": None, "high": None}) == "0.000"
    assert number_with_interval({"value": None, "low": None, "high": None}) == "-"


# The program


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluate")
    save_tiny_llama(root / "host")
    at_site(random_sae(seed=3)).save(root / "sae", weight_dtype=torch.float32)
    lines = [json.dumps({"text": text.text}) for text in texts(60)]
    (root / "corpus.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return root


def run(model, *args):
    options = ["--model", str(model / "host"), "--corpus", str(model / "corpus.jsonl"), "--tokens", "300"]
    return CliRunner().invoke(main, ["evaluate", str(model / "sae"), *options, *args])


def test_the_program_writes_a_report_and_a_table(model, tmp_path):
    result = run(model, "--out", str(tmp_path / "out"), "--json")
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)

    assert json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8")) == record
    assert (record["sae"]["site"], record["trained_on_this_corpus"]) == (str(SITE), False)
    # a text of which nothing is known has no answers and no concepts
    assert list(record["measurements"]) == ["all", "other"]
    assert record["answers"]["sae"] is None
    table = load_table(tmp_path / "out" / "documents.safetensors")
    assert table.text.n_tokens.sum() == 300


def test_the_program_prints_a_table(model, tmp_path):
    result = run(model, "--out", str(tmp_path / "out"), "--nulls", "mean")

    assert result.exit_code == 0, result.stderr
    assert "EV of dimensions" in result.stdout
    assert "random" not in result.stdout


def test_the_error_is_split_and_bits_are_counted(model, tmp_path):
    lines = [json.dumps({"text": text.text}) for text in texts(400)]
    (model / "long.jsonl").write_text("\n".join(lines), encoding="utf-8")
    args = ["--corpus", str(model / "long.jsonl"), "--tokens", "1600", "--residual", "--bits", "--nulls", "mean"]
    result = run(model, *args, "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.stderr
    record = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))

    assert list(record["residual_error"]["parts"]) == ["sae", "rescaled", "features rescaled", "pca", "random"]
    whole = record["measurements"]["all"]["sae"]
    of_error = record["residual_error"]["parts"]["sae"]["explained_variance"]
    # two ways to the same numbers, over the same documents
    for end in ("value", "low", "high"):
        assert of_error[end] == pytest.approx(whole["explained_variance"][end], abs=1e-4)
    assert record["residual_error"]["causal_split"]["delta_ce"]["value"] == pytest.approx(
        whole["delta_ce"]["value"], abs=1e-4
    )
    assert list(record["description_length"]) == ["sae", "pca"]
    assert "linear share" in result.stdout
    assert "bits a token" in result.stdout


def test_too_few_tokens_for_the_split_are_refused_before_anything_runs(model):
    result = run(model, "--residual")
    assert result.exit_code == 1
    assert "300 tokens are too few to fit maps of d_model 32, expected at least 1600" in result.stderr


def test_wrong_usage_is_one_line(model):
    result = run(model, "--nulls", "noise")
    assert result.exit_code == 2
    assert "'noise' is unknown, expected some of zero, mean, random, pca" in result.stderr
