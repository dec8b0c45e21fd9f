"""`steering find` on the bundled model."""

import json

import pytest
from click.testing import CliRunner

from sae.bundle import find_bundle
from steering.cli import main

pytestmark = pytest.mark.skipif(find_bundle("clinic") is None, reason="the bundled model is not in this checkout")
QUICK = ("--sites", "resid_post.3", "--top", "1", "--candidates", "4", "--corpus-tokens", "4000")
ROW = {"strength", "unit", "norm_ratio", "target_rate", "target_logit", "kl_off_target", "delta_ce", "repetition"}


def run(*arguments: str):
    return CliRunner().invoke(main, ["find", *arguments])


def check(found: dict, target: str) -> None:
    assert found["command"] == "steering find"
    assert found["target"] == target
    [row] = found["rows"]
    assert row.keys() >= ROW
    assert row["target_rate"] >= 0.9 > 0.2 > found["null"]["target_rate"]
    assert row["risk_card"]["promoted"][0]["token"].strip() == target
    assert row["answer_score"]["low"] > found["null"]["answer_score"]["high"]
    scores = [each["answer_score"]["value"] for each in (*found["rows"], *found["not_verified"])]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.slow
def test_a_label_finds_the_feature_that_causes_it():
    result = run("--label", "latent:tuberculosis", "--json", *QUICK)
    assert result.exit_code == 0, result.stderr
    check(json.loads(result.stdout), "tuberculosis")


@pytest.mark.slow
def test_a_contrast_file_does(tmp_path):
    line = {
        "clean_prefix": "We see an old man with cough and night sweats. The most likely diagnosis is",
        "patch_prefix": "We see an old man with tiredness and night sweats. The most likely diagnosis is",
        "clean_answer": " tuberculosis",
        "patch_answer": " lymphoma",
    }
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(line) + "\n", encoding="utf-8")
    result = run("--contrast", str(path), "--json", *QUICK)
    assert result.exit_code == 0, result.stderr
    check(json.loads(result.stdout), "tuberculosis")


def test_exactly_one_thing_is_looked_for():
    assert run().exit_code == 2
    assert run("--concept", "a", "--label", "b").exit_code == 2
    assert run("--label", "b", "--synonym", "c").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--contrast", "nowhere.jsonl"), "'nowhere.jsonl' cannot be read"),
        (("--label", "latent:tuberculosis", "--target", "night sweats"), "expected one"),
        (("--concept", "zebra crossing"), "occurs 0 times"),
    ],
)
def test_bad_input_is_one_line(arguments, message):
    result = run(*arguments, *QUICK)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
