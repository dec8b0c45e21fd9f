"""`steering sweep` on the bundled model, as its user sees it."""

import json

import pytest
from click.testing import CliRunner

from sae.bundle import find_bundle
from steering.cli import main
from steering.commands.sweep import METHODS
from steering.sweep.building import BASELINES

bundled = pytest.mark.skipif(find_bundle("clinic") is None, reason="the bundled model is not in this checkout")
FEATURE = ("--feature", "resid_post.2/861")
SMALL = ("--n-prompts", "8", "--n-texts", "2", "--max-new-tokens", "4", "--statistics-tokens", "2000")


def run(*arguments: str):
    return CliRunner().invoke(main, ["sweep", *arguments])


def test_the_methods_of_the_command_are_those_that_can_be_built():
    assert tuple(BASELINES) == METHODS


@bundled
def test_a_sweep_is_files_and_one_object(tmp_path):
    out = tmp_path / "sweep"
    result = run(
        *FEATURE, "--target", "tuberculosis", *SMALL, "--methods", "random_direction", "--strengths", "0,2", "--json",
        "--out", str(out),
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert json.loads((out / "sweep.json").read_text()) == found
    assert (out / "sweep.png").stat().st_size > 10_000
    assert [(row["method"], row["strength"], row["unit"]) for row in found["rows"]] == [
        *(("feature", strength, "resid") for strength in (0.0, 2.0)),
        *(("random direction", strength, "resid") for strength in (0.0, 2.0, 4.0, 8.0)),
    ]
    plain, strong = found["rows"][:2]
    assert (plain["target_rate"], plain["kl_off_target"], plain["delta_ce"]) == (0, 0, 0)
    assert strong["target_logit"] > plain["target_logit"] + 3
    assert strong["kl_off_target"] > 0
    assert strong["features_moved"] > 0
    assert set(strong["kl_by_domain"]) == {"same domain", "other domain"}
    assert found["command"] == "steering sweep"
    assert [sae["site"] for sae in found["saes"]] == ["resid_post.2", "resid_post.3"]


@bundled
def test_a_user_brings_prompts_and_text(tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("".join(f"A man with {word}. Diagnosis:\n" for word in ("fever", "cough", "rash", "thirst")))
    text = tmp_path / "text.txt"
    text.write_text(
        "\n\n".join([f"On Monday {n} children went to school and read a book about the sea. " * 2 for n in "abc"])
    )
    result = run(
        *("--edit", "resid_post.3/735:clamp=1max_act", "--target", "tuberculosis", "--prompts", str(prompts)), *SMALL,
        "--unrelated", str(text), "--methods", "none", "--strengths", "0,0.5", "--json", "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["rows"][1]["unit"] == "max_act"
    assert found["unrelated"] == {str(text): {"corpus": str(text), "n_texts": 2}}
    assert found["n_prompts"] == {"choosing": 2, "reported": 2}


@bundled
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--feature", "resid_post.2/5000"), "feature resid_post.2/5000 does not exist"),
        (("--feature", "resid_post.9/5"), "model 'clinic' has no site resid_post.9"),
        (("--feature", "resid_post.2"), "feature 'resid_post.2' is malformed"),
        ((*FEATURE, "--target", "the patient"), "has 2 tokens"),
        ((*FEATURE, "--prompts", "nowhere.txt"), "prompt file 'nowhere.txt' cannot be read"),
        ((*FEATURE, "--strengths", "0,nan"), "strength nan is not finite"),
        ((*FEATURE, "--positions", "here"), "unknown positions 'here'"),
        ((*FEATURE, "--unrelated", "nowhere.txt"), "nowhere.txt"),
        (("--edit", "resid_post.2/861:ablate"), "ablate has no strength to sweep"),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path):
    result = run("--target", "tuberculosis", *SMALL, "--methods", "none", "--out", str(tmp_path / "out"), *arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert not (tmp_path / "out").exists()


def test_wrong_usage_exits_with_2():
    assert run("--target", "x").exit_code == 2
    assert run(*FEATURE, "--edit", "resid_post.2/861:add=1", "--target", "x").exit_code == 2
    assert run(*FEATURE, "--target", "x", "--methods", "magic").exit_code == 2
