"""Literals and their counts against a walk over every token."""

import pytest
import torch
from planted_text import AFTER, COUGH, DENIES, EITHER, FEVER, TOKENS, WORD, planted_material

from sae.interpretation.lexical_explainer import LexicalRule, explain_lexically, log_odds
from sae.interpretation.literals import LONGEST_NGRAM, LONGEST_OFFSET, Literal, NgramIndex, literal_text
from sae.interpretation.roles import Role


@pytest.fixture(scope="module")
def text():
    return planted_material(200).text


def holds_slowly(literal, text):
    held = []
    for token in range(len(text.token_ids)):
        first = int(text.document_offsets[text.document_of_token[token]])
        ends = [token - offset for offset in range(literal.nearest, literal.farthest + 1)]
        starts = [end - len(literal.ngram) + 1 for end in ends]
        held.append(
            any(
                start >= first and tuple(text.token_ids[start : end + 1].tolist()) == literal.ngram
                for start, end in zip(starts, ends, strict=True)
            )
        )
    return torch.tensor(held)


@pytest.mark.parametrize(
    "literal", [Literal((FEVER,), 0, 0), Literal((DENIES,), 1, 1), Literal((DENIES, 8), 2, 2), Literal((COUGH,), 0, 5)]
)
def test_a_literal_holds_where_a_walk_finds_it(text, literal):
    held = literal.holds(text)

    assert held.any()
    assert torch.equal(held, holds_slowly(literal, text))


def test_counts_are_those_of_a_walk(text):
    counted = text.has_role(Role.EXPLAIN)
    index = NgramIndex(text, counted)
    firings = text.firings(EITHER)[0]
    firings = firings[counted[firings]]
    for n in range(1, LONGEST_NGRAM + 1):
        for offset in range(LONGEST_OFFSET + 1):
            ends, hits, totals = index.before(n, offset, firings)
            for place in range(0, len(ends), 40):
                end = int(ends[place])
                literal = Literal(tuple(text.token_ids[end - n + 1 : end + 1].tolist()), offset, offset)
                held = literal.holds(text)
                assert int(hits[place]) == int(held[firings].sum())
                assert int(totals[place]) == int((held & counted).sum())


def test_planted_rules_are_found(text):
    text = planted_material().text
    counted = text.has_role(Role.EXPLAIN)
    index = NgramIndex(text, counted)
    rules = {}
    for feature in (WORD, EITHER, AFTER):
        firings = text.firings(feature)[0]
        rules[feature] = explain_lexically(text, index, firings[counted[firings]])

    assert rules[WORD] == LexicalRule((Literal((FEVER,), 0, 0),))
    assert set(rules[EITHER].literals) == {Literal((FEVER,), 0, 0), Literal((COUGH,), 0, 0)}
    assert rules[AFTER] == LexicalRule((Literal((DENIES,), 1, 1),))
    assert not (rules[WORD].fires(text) != (text.token_ids == FEVER)).any()


def test_nothing_explains_a_feature_that_never_fires(text):
    index = NgramIndex(text, text.has_role(Role.EXPLAIN))

    assert explain_lexically(text, index, torch.zeros(0, dtype=torch.long)) is None


def test_log_odds_of_what_is_as_frequent_as_elsewhere_are_none():
    hits, total = torch.tensor([10, 90, 0]), torch.tensor([100, 100, 100])
    z = log_odds(hits, total, n_firings=100, n_tokens=1000)

    assert abs(float(z[0])) < 0.05
    assert float(z[1]) > 5
    assert float(z[2]) < -1


@pytest.mark.parametrize(
    ("literal", "words"),
    [
        (Literal((5,), 0, 0), 'on "word5"'),
        (Literal((5, 6), 1, 1), '1 token after "word5 word6"'),
        (Literal((5,), 3, 3), '3 tokens after "word5"'),
        (Literal((5,), 0, 5), 'within 5 tokens after "word5"'),
    ],
)
def test_literals_in_words(literal, words):
    assert literal_text(literal, TOKENS) == words
