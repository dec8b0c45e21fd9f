"""The commands of `steering` on the bundled model."""

import json

import pytest
from click.testing import CliRunner

from sae.bundle import find_bundle
from steering.cli import main

pytestmark = pytest.mark.skipif(find_bundle("clinic") is None, reason="the bundled model is not in this checkout")
PROMPT = "We see an old man with tiredness, night sweats and lymphadenopathy. The most likely diagnosis is"
EDIT = "resid_post.3/735:add=1max_act@generated"
QUICK = ("--statistics-tokens", "2000", "--max-new-tokens", "3")


def run(*arguments: str, **options):
    return CliRunner().invoke(main, [*arguments], **options)


def generated(*arguments: str):
    result = run("generate", "--json", *QUICK, *arguments)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_sweep_is_a_row_a_strength_and_its_zero_is_plain():
    found = generated("--prompt", PROMPT, "--edit", EDIT, "--strengths", "0,1", "--plain")
    plain, zero, one = found["rows"]
    assert (plain["strength"], zero["strength"], one["strength"]) == (None, 0.0, 1.0)
    assert plain["text"] == zero["text"] != one["text"]
    assert (plain["norm_ratio"], zero["norm_ratio"]) == (None, 0.0)
    assert one["unit"] == "max_act"
    assert one["positions"] == "generated"
    assert set(one["strengths"]) == {"max_act", "resid", "sigma", "raw"}
    assert all(value > 0 for value in one["strengths"].values())
    assert one["edits"][0]["norm_ratio"] == pytest.approx(one["norm_ratio"], rel=1e-5)
    assert one["target_rate"] is None
    assert found["command"] == "steering generate"
    assert found["statistics"]["resid_post.3"]["source"] == "2,000 tokens of clinic:clinical"
    assert found["saes"][0]["site"] == "resid_post.3"
    assert set(found["seconds"]) == {"load", "measure", "generate"}


def test_people_read_the_text_the_edit_and_its_measured_size():
    result = run("generate", "--prompt", PROMPT, "--edit", EDIT, *QUICK)
    assert result.exit_code == 0
    text, line = result.stdout.splitlines()
    assert text.startswith(f"{PROMPT} ")
    assert "resid_post.3/735 (latent:tuberculosis, F1 0.80): add 1 max_act where new tokens are decided" in line
    assert "|change|/|x| " in line
    assert "measured on 2,000 tokens of clinic:clinical" in result.stderr


def test_a_preset_does_what_its_edits_did(tmp_path):
    path = str(tmp_path / "p.json")
    span = ("--span", "finding=night sweats")
    edits = ("--edit", "resid_post.1/3:add=2sigma@span:finding", "--edit", "resid_post.3/735:clamp=20@last")
    first = generated("--prompt", PROMPT, *edits, *span, "--save-preset", path)["rows"]
    assert generated("--prompt", PROMPT, "--preset", path, *span)["rows"] == first
    assert first[0]["strength"] is None
    assert len(first[0]["edits"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--edit", "resid_post.8/1:ablate"), "model 'clinic' has no site resid_post.8"),
        (("--edit", "resid_post.3/5000:ablate"), "feature resid_post.3/5000 does not exist"),
        (("--edit", "resid_post.3/5:add=inf"), "strength 'inf' cannot be read"),
        (("--edit", "resid_post.3/5:add=1", "--edit", "resid_post.3/5:ablate"), "contradict each other"),
        (("--edit", EDIT, "--strengths", "0,nan"), "has the value nan, expected a finite one"),
        (("--edit", EDIT, "--max-new-tokens", "400"), "takes at most 256"),
        (("--edit", EDIT, "--prompt", "fever " * 300), "takes at most 256"),
        (("--edit", EDIT, "--statistics", "nowhere.txt"), "nowhere.txt"),
        (("--preset", "nowhere.json"), "preset 'nowhere.json' cannot be read"),
    ],
)
def test_bad_input_is_one_line(arguments, message):
    result = run("generate", "--prompt", PROMPT, *QUICK, *arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_wrong_usage_exits_with_2():
    assert run("generate", "--prompt", PROMPT).exit_code == 2
    assert run("generate", "--edit", EDIT).exit_code == 2
    assert run("generate", "--prompt", PROMPT, "--edit", EDIT, "--span", "nothing").exit_code == 2


def test_a_chat_goes_on_after_a_mistake():
    lines = [PROMPT, "/set resid_post.3/735:add=1max_act@last", "/edits", PROMPT, "/set x", "/what", "/clear", "/edits"]
    result = run("chat", *QUICK, input="\n".join([*lines, "/quit", "never read"]))
    assert result.exit_code == 0, result.stderr
    plain, described, listed, moved, none = result.stdout.splitlines()
    assert described == listed
    assert "latent:tuberculosis" in listed
    assert plain != moved
    assert none == "no edits"
    assert result.stderr.count("Error: ") == 2
