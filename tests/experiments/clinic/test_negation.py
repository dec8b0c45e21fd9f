"""Pairs of vignettes that differ in one denial only."""

from itertools import islice

from experiments.clinic.corpus import clinic_corpus
from experiments.clinic.negation import denied_pairs


def concepts(document, family):
    return [span.concept.partition(":")[2] for span in document.spans if span.concept.startswith(f"{family}:")]


def test_one_finding_is_denied_and_nothing_else_changes():
    for asserted, denied in islice(denied_pairs(seed=3), 60):
        [finding] = set(concepts(asserted, "pos")) - set(concepts(denied, "pos"))
        assert sorted(concepts(denied, "neg")) == sorted([*concepts(asserted, "neg"), finding])
        others = [
            sorted(span.concept for span in each.spans if not span.concept.startswith(("pos:", "neg:")))
            for each in (asserted, denied)
        ]
        assert others[0] == others[1]
        told = {asserted.text[s.start : s.end] for s in asserted.spans if s.concept == f"pos:{finding}"}
        assert told == {denied.text[s.start : s.end] for s in denied.spans if s.concept == f"neg:{finding}"}


def test_the_same_seed_gives_the_same_pairs():
    once, again, other = (list(islice(denied_pairs(seed), 5)) for seed in (0, 0, 1))

    assert once == again != other


def test_a_diagnosis_that_is_due_is_expressed_where_it_is_due():
    for known in islice(clinic_corpus.annotated_texts("clinical"), 80):
        for mention in known.concepts:
            if mention.concept.startswith("latent:"):
                answer = mention.concept.removeprefix("latent:")
                assert known.text[mention.end :].startswith(f" {answer}")
