"""The sampling contract on features whose activity is known everywhere."""

import re

import pytest
import torch
from planted_text import ASSERTED, DEAD, DENIES, EITHER, FEVER, NEAR, RARE, RASH, WORD, planted_material

from sae.interpretation.roles import Role, role_of
from sae.interpretation.sampling import TIERS, Sampler
from sae.interpretation.windows import cut_windows


@pytest.fixture(scope="module")
def material():
    return planted_material()


@pytest.fixture(scope="module")
def sampler(material):
    return Sampler(material.windows)


def by_tier(sample, tier):
    return [each for each in sample.examples if each.tier == tier]


def test_the_split_is_decided_by_the_text_alone():
    texts = [f"document {number}" for number in range(2000)]
    roles = [role_of(text) for text in texts]

    assert roles == [role_of(text) for text in texts]
    assert 0.45 < sum(role == Role.SCORE for role in roles) / len(texts) < 0.55
    assert roles != [role_of(text, seed=1) for text in texts]


def test_no_document_that_explains_scores(material, sampler):
    for feature in (WORD, EITHER, ASSERTED):
        sample = sampler.sample(feature, [])
        explain = {each.document for each in sample.explain}
        score = {each.document for each in sample.examples}
        assert len(explain) == 20
        assert not explain & score
        assert {int(material.text.roles[each]) for each in explain} == {Role.EXPLAIN}
        assert {int(material.text.roles[each]) for each in score} <= {Role.SCORE, Role.FLIPPED}


def test_positives_are_active_one_a_document_and_as_many_of_each_tenth(material, sampler):
    sample = sampler.sample(EITHER, [])
    positives = by_tier(sample, "positive")
    strongest = material.windows.strongest(EITHER)

    assert len(positives) == len({each.document for each in positives}) == 40
    assert all(each.activation == float(strongest[each.window]) > 0 for each in positives)
    assert [each.decile for each in positives] == [decile for decile in range(10) for _ in range(4)]
    tops = [max(each.activation for each in positives if each.decile == decile) for decile in range(10)]
    assert tops == sorted(tops)


def test_negatives_are_inactive_over_the_whole_window(material, sampler):
    for feature in (WORD, EITHER, ASSERTED):
        active = set(material.text.firings(feature)[0].tolist())
        for each in sampler.sample(feature, [NEAR, EITHER]).examples:
            first = int(material.text.document_offsets[each.document])
            has_fired = any(token in active for token in range(first + each.start, first + each.end))
            assert has_fired == each.is_positive


def test_each_tier_is_what_it_says(material, sampler):
    sample = sampler.sample(ASSERTED, [WORD])
    held = material.windows.hold(material.text.token_ids == RASH)
    near = material.windows.strongest(WORD) > 0

    assert len(by_tier(sample, "random")) == 40
    assert (
        len(by_tier(sample, "lexical")) == len(by_tier(sample, "neighbour")) == len(by_tier(sample, "negation")) == 20
    )
    assert all(held[each.window] for each in by_tier(sample, "lexical"))
    assert all(near[each.window] for each in by_tier(sample, "neighbour"))
    for each in by_tier(sample, "negation"):
        # the window, and the token before it, which it was run with
        ids = material.text.token_ids[material.windows.starts[each.window] - 1 : material.windows.ends[each.window]]
        assert int(material.text.roles[each.document]) == Role.FLIPPED
        assert {DENIES, RASH} <= set(ids.tolist())
    for tier in TIERS:
        documents = [each.document for each in by_tier(sample, tier)]
        assert len(documents) == len(set(documents))


def test_a_feature_without_hard_negatives_has_none_of_them(sampler):
    sample = sampler.sample(WORD, [NEAR])  # the neighbour fires on the same tokens, and FEVER is never without it

    assert by_tier(sample, "lexical") == by_tier(sample, "neighbour") == []


def test_random_negatives_are_as_long_as_the_positives(material, sampler):
    sample = sampler.sample(WORD, [])
    lengths = [
        sorted(int(material.windows.lengths[each.window]) for each in by_tier(sample, tier))
        for tier in ("positive", "random")
    ]

    assert max(abs(a - b) for a, b in zip(*lengths, strict=True)) <= 1


@pytest.mark.parametrize(
    ("feature", "reason"),
    [(DEAD, "active in 0 explain documents, expected at least 20"), (RARE, r"active in [012] explain documents")],
)
def test_too_few_examples_are_refused_with_the_reason(sampler, feature, reason):
    sample = sampler.sample(feature, [])
    assert sample.examples == ()
    assert re.search(reason, sample.refusal)


def test_the_same_seed_draws_the_same_and_another_one_does_not(material):
    once, again = (Sampler(material.windows, seed=3).sample(WORD, [EITHER]) for _ in range(2))

    assert once == again
    assert once != Sampler(material.windows, seed=4).sample(WORD, [EITHER])


@pytest.mark.parametrize("n", [0, 15])
def test_positives_must_fill_the_tenths(material, n):
    with pytest.raises(ValueError, match=f"{n} positives were asked for, expected a multiple of 10 above 0"):
        Sampler(material.windows, n_positives=n)


def test_windows_tile_the_documents(material):
    text = material.text
    windows = cut_windows(text, width=7)

    assert torch.equal(windows.starts[1:], windows.ends[:-1])
    assert (int(windows.starts[0]), int(windows.ends[-1])) == (0, len(text.token_ids))
    assert int(windows.lengths.max()) <= 7
    assert torch.equal(text.document_of_token[windows.starts], text.document_of_token[windows.ends - 1])
    fever = windows.hold(text.token_ids == FEVER)
    assert torch.equal(fever, windows.strongest(WORD) > 0)
    for document in range(5):
        lengths = windows.lengths[windows.documents == document]
        assert int(lengths.max() - lengths.min()) <= 1
