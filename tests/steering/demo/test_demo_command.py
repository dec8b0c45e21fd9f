"""`steering demo` on the bundled model."""

import json

import pytest
from click.testing import CliRunner

from sae.bundle import find_bundle
from steering.cli import main

pytestmark = pytest.mark.skipif(find_bundle("clinic") is None, reason="the bundled model is not in this checkout")
ROW_KEYS = {"strength", "unit", "norm_ratio", "target_rate", "target_logit", "kl_off_target", "delta_ce", "repetition"}
QUICK = ("--statistics-tokens", "2000", "--n-prompts", "8", "--n-texts", "4", "--max-new-tokens", "4")
FEATURE = ("--feature", "resid_post.3/735", "--target", "tuberculosis")


def run(*arguments: str):
    return CliRunner().invoke(main, ["demo", *QUICK, *arguments])


@pytest.mark.slow
def test_what_is_not_given_is_chosen_and_moves_other_cases(tmp_path):
    result = run("--json", "--out", str(tmp_path / "demo"))
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert json.loads((tmp_path / "demo" / "demo.json").read_text()) == found
    assert (tmp_path / "demo" / "demo.html").is_file()
    assert all(set(row) >= ROW_KEYS for row in found["rows"])
    assert found["target"] != found["answer"]
    scores = [each["score"] for each in found["choice"]["candidates"]]
    assert scores == sorted(scores, reverse=True)
    assert found["choice"]["candidates"][0]["feature"] == found["feature"] != found["null"]
    rate = found["curves"][0]
    assert rate["of_feature"][0]["value"] == 0.0
    assert rate["of_feature"][found["chosen"]]["value"] >= 0.75
    assert max(each["value"] for each in rate["of_null"]) <= 0.25


@pytest.mark.slow
def test_a_given_feature_is_shown_beside_the_plain_text(tmp_path):
    prompt = "We see an old man with tiredness, night sweats and lymphadenopathy. The most likely diagnosis is"
    result = run(*FEATURE, "--prompt", prompt, "--out", str(tmp_path / "demo"))
    assert result.exit_code == 0, result.stderr
    assert "“lymphoma” → “tuberculosis”" in result.stdout
    assert "left alone" in result.stdout
    assert "Not for care" in result.stdout
    again = run(*FEATURE, "--out", str(tmp_path / "demo"))
    assert (again.exit_code, again.stderr.count("\n")) == (1, 1)
    assert "exists already" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--feature", "resid_post.3/5000", "--target", "gout"), "does not exist"),
        (("--feature", "nonsense"), "is malformed"),
        (("--target", "xyzzy plugh"), "expected one"),
        (("--prompts", "nowhere.txt"), "cannot be read"),
    ],
)
def test_bad_input_is_one_line(tmp_path, arguments, message):
    result = run(*arguments, "--out", str(tmp_path / "demo"))
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
