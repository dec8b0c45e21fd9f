import json

import pytest
from click.testing import CliRunner

from experiments.cli import main
from experiments.clinic.case_sampling import paired_cases, sample_cases
from experiments.clinic.knowledge import withheld
from sae.bundle import find_bundle


def by_words(text: str) -> dict[str, list[str]]:
    """A tokenizer that splits at spaces and stops."""
    return {"input_ids": text.replace(".", " .").replace(",", " ,").split()}


def test_contrasts_have_as_many_tokens_and_another_answer():
    for case in sample_cases(by_words, "vignette", 30, seed=3):
        assert case["contrast"]
        for contrast in case["contrast"]:
            assert contrast["answer"] != case["answer"]
            assert len(by_words(contrast["prompt"])["input_ids"]) == len(by_words(case["prompt"])["input_ids"])


def test_the_text_begins_with_the_prompt_and_goes_on_with_the_answer():
    for kind in ("vignette", "qa", "broad"):
        for case in sample_cases(by_words, kind, 20, seed=1):
            assert case["text"].startswith(f"{case['prompt']} {case['answer']}")
            assert not case["prompt"].endswith(" ")
            for span in case["concepts"]:
                assert case["text"][span["start"] : span["end"]].strip()


def test_the_same_seed_draws_the_same_cases():
    assert sample_cases(by_words, "vignette", 5, seed=2) == sample_cases(by_words, "vignette", 5, seed=2)
    assert sample_cases(by_words, "vignette", 5, seed=2) != sample_cases(by_words, "vignette", 5, seed=3)


def test_withheld_combinations_hold_a_withheld_pair():
    cases = paired_cases(by_words, seed=0, combinations="withheld")
    for _ in range(10):
        assert withheld(next(cases).test_case.case.present)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind 'poem' is unknown, expected one of vignette, qa, broad"):
        sample_cases(by_words, "poem", 1)


@pytest.mark.skipif(find_bundle("clinic") is None, reason="the bundled model is not in this checkout")
@pytest.mark.parametrize("kind", ["vignette", "qa", "broad"])
def test_the_command_prints_cases(kind):
    result = CliRunner().invoke(main, ["clinic", "sample", "--kind", kind, "--n", "3", "--seed", "4", "--json"])
    assert result.exit_code == 0, result.stderr
    cases = json.loads(result.stdout)["cases"]
    assert len(cases) == 3
    assert {"prompt", "text", "answer", "concepts", "decisive", "contrast"} <= cases[0].keys()
    assert CliRunner().invoke(main, ["clinic", "sample", "--kind", kind, "--n", "2"]).exit_code == 0
