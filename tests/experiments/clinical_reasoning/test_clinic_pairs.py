"""Pairs of the clinic: one difference, equal length, and the answers that the clinic's rule gives."""

import random
from functools import cache
from itertools import islice

import pytest
from transformers import AutoTokenizer

from experiments.clinic.cases import sample_case
from experiments.clinic.knowledge import DISEASES, decide, treatment
from experiments.clinic.phrasing import split_of
from experiments.clinical_reasoning.alignment import differing_tokens, misalignment
from experiments.clinical_reasoning.changes import changes
from experiments.clinical_reasoning.clinic_pairs import N_TEMPLATES, ClinicPairs, templates
from experiments.clinical_reasoning.vignette_pair import KINDS, Kind, VignettePair
from sae.annotated_text import TextSpan
from sae.bundle import find_bundle

N = 50
BUNDLE = find_bundle("clinic")
pytestmark = pytest.mark.skipif(BUNDLE is None, reason="the bundled model is not in this checkout")


@cache
def tokenizer():
    return AutoTokenizer.from_pretrained(BUNDLE.host)


@cache
def pairs(kind: Kind) -> tuple[VignettePair, ...]:
    return tuple(islice(ClinicPairs(tokenizer()).pairs(kind, seed=0), N))


def names(spans: tuple[TextSpan, ...], family: str) -> list[str]:
    return [span.concept.partition(":")[2] for span in spans if span.concept.startswith(f"{family}:")]


@pytest.mark.parametrize("kind", KINDS)
def test_prompts_are_aligned_and_differ_in_what_is_named(kind):
    for pair in pairs(kind):
        assert misalignment(tokenizer(), pair) is None
        assert differing_tokens(tokenizer(), pair)
        before, after = ({span.concept for span in spans} for spans in (pair.spans, pair.changed_spans))
        assert pair.changed_from in before - after
        assert pair.changed_to in after - before
        further = {"negation": 1, "history": 1}.get(kind, 0)
        assert len(before - after) == len(after - before) == 1 + further


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "exception"])
def test_the_diagnosis_follows_from_what_the_spans_say(kind):
    for pair in pairs(kind):
        for spans, answer in ((pair.spans, pair.answer), (pair.changed_spans, pair.changed_answer)):
            assert decide(names(spans, "pos"), names(spans, "neg")) == answer


def test_the_drug_follows_from_diagnosis_and_condition():
    for pair in pairs("exception"):
        for prompt, spans, answer in (
            (pair.prompt, pair.spans, pair.answer),
            (pair.changed_prompt, pair.changed_spans, pair.changed_answer),
        ):
            (diagnosis,), conditions = names(spans, "dx"), names(spans, "mod")
            assert treatment(diagnosis, conditions[0] if conditions else None) == answer
            assert f" {diagnosis}." in prompt
        assert pair.question == "treatment"


@pytest.mark.parametrize("kind", KINDS)
def test_answers_change_unless_the_change_must_not_matter(kind):
    must_not_matter = kind in ("demographic", "distractor")
    assert all((pair.answer == pair.changed_answer) == must_not_matter for pair in pairs(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_spans_say_their_concepts(kind):
    for pair in pairs(kind):
        assert all(0 <= span.start < span.end <= len(pair.prompt) for span in pair.spans)
        for concept in pair.decisive:
            assert concept in {span.concept for span in pair.spans}


@pytest.mark.parametrize("kind", ["finding", "denial", "negation", "history", "value"])
def test_without_a_decisive_finding_the_answer_is_open_or_another(kind):
    for pair in pairs(kind):
        present, denied = names(pair.spans, "pos"), names(pair.spans, "neg")
        for concept in pair.decisive:
            polarity, _, finding = concept.partition(":")
            left = [[f for f in findings if f != finding] for findings in (present, denied)]
            assert polarity in ("pos", "neg")
            assert decide(*left) != pair.answer


def bag_of_tokens(text: str) -> list[int]:
    return sorted(tokenizer()(text)["input_ids"])


def test_words_trade_places_with_the_relatives():
    for pair in pairs("history"):
        own = pair.changed_from.partition(":")[2]
        assert pair.changed_to == f"family:{own}"
        assert names(pair.changed_spans, "family") == [own]
        assert bag_of_tokens(pair.prompt) == bag_of_tokens(pair.changed_prompt)
        # what the relative has would lead to the other answer, did it count
        assert names(pair.spans, "family")[0] in names(pair.changed_spans, "pos")


def test_negated_words_stay_where_they_are():
    for pair in pairs("negation"):
        finding = pair.changed_from.partition(":")[2]
        denied = next(span for span in pair.spans if span.concept == f"neg:{finding}")
        asserted = next(span for span in pair.changed_spans if span.concept == f"pos:{finding}")
        words = pair.prompt[denied.start : denied.end]
        assert pair.changed_prompt[asserted.start : asserted.end] == words


def test_sex_is_changed_wherever_it_is_said():
    changed = [pair for pair in pairs("demographic") if pair.changed_to in ("demo:man", "demo:woman")]
    assert changed
    for pair in changed:
        words = set(pair.changed_prompt.split())
        assert not words & ({"He", "His", "man"} if pair.changed_to == "demo:woman" else {"She", "Her", "woman"})


def test_the_same_seed_gives_the_same_pairs_and_others_give_others():
    again = tuple(islice(ClinicPairs(tokenizer()).pairs("value", seed=0), 10))
    other = tuple(islice(ClinicPairs(tokenizer()).pairs("value", seed=1), 10))
    assert again == pairs("value")[:10]
    assert not {pair.prompt for pair in other} & {pair.prompt for pair in pairs("value")}


def test_templates_belong_to_the_test_split():
    assert len({phrasing.combination for phrasing in templates()}) == N_TEMPLATES
    assert {split_of(phrasing) for phrasing in templates()} == {"test"}
    names_of_templates = {".".join(map(str, phrasing.combination)) for phrasing in templates()}
    assert all({pair.template for pair in pairs(kind)} <= names_of_templates for kind in KINDS)


def test_pairs_share_templates():
    assert len({pair.template for pair in pairs("finding")}) < N


def test_a_case_without_anything_denied_has_no_negation():
    rng = random.Random(0)
    case = next(case for case in iter(lambda: sample_case(rng), None) if not case.denied)
    assert not list(changes("negation", case, templates()[0]))
    assert case.diagnosis in DISEASES


def test_what_is_wrong_with_a_pair_is_said():
    pair = pairs("finding")[0]
    same = VignettePair("finding", "t", pair.prompt, pair.prompt, "gout", "gout", "", "")
    assert "are the same" in misalignment(tokenizer(), same)
    longer = VignettePair("finding", "t", pair.prompt, f"Indeed. {pair.prompt}", "gout", "lupus", "", "")
    assert "expected equal numbers" in misalignment(tokenizer(), longer)
    confused = VignettePair(
        "finding",
        "t",
        pair.prompt,
        pair.changed_prompt,
        "gout and more",
        "gout",
        "",
        "",
        pair.spans,
        pair.changed_spans,
    )
    assert "begin with the same token" in misalignment(tokenizer(), confused)
    kept = tuple(span for span in pair.spans if span.concept != pair.changed_from)
    stray = VignettePair(
        "finding", "t", pair.prompt, pair.changed_prompt, "gout", "lupus", "", "", kept, pair.changed_spans
    )
    assert "differs outside the spans" in misalignment(tokenizer(), stray)
