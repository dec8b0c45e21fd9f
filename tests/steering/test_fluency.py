"""Fluency on texts whose scores are plain."""

import math

import pytest
import torch

from steering.fluency import breaks_off, continuation_losses, distinct_bigrams, perplexity, repetition


def ids(*tokens: int):
    return torch.tensor(tokens, dtype=torch.long)


def test_one_token_over_and_over_is_all_repetition():
    assert repetition(ids(*[7] * 9)) == 1.0
    assert distinct_bigrams(ids(*[7] * 9)) == 1 / 8


def test_a_text_without_repetition_has_none():
    assert repetition(ids(*range(4, 16))) == 0.0
    assert distinct_bigrams(ids(*range(4, 16))) == 1.0


def test_every_occurrence_of_a_repeated_piece_counts():
    assert repetition(ids(4, 5, 6, 7, 8, 4, 5, 6, 7)) == 2 / 6


@pytest.mark.parametrize("measure", [repetition, distinct_bigrams])
def test_a_text_too_short_has_no_score(measure):
    assert math.isnan(measure(ids()))
    assert math.isnan(measure(ids(4)))


def test_losses_are_those_of_what_follows_the_first_token(tiny_host):
    prompts = [ids(1, 7, 9), ids(1, 4), ids(1, 4), ids(1, 30, 31, 32, 33)]
    texts = [ids(4, 5, 6), ids(9), ids(), ids(8, 8, 8, 8, 8)]
    found = continuation_losses(tiny_host, prompts, texts)
    assert [len(losses) for losses in found] == [2, 0, 0, 4]
    for prompt, text, losses in zip(prompts, texts, found, strict=True):
        if len(losses):
            logits = tiny_host.forward(tiny_host.batch([torch.cat([prompt, text])])).logits[0].double()
            expected = torch.nn.functional.cross_entropy(logits[len(prompt) : -1], text[1:], reduction="none")
            torch.testing.assert_close(losses, expected, atol=1e-5, rtol=1e-5)


def test_perplexity_is_over_tokens_and_nothing_has_none():
    log = torch.tensor([2.0, 2.0, 2.0, 16.0], dtype=torch.float64).log()
    assert perplexity([log[:3], log[3:]]) == pytest.approx(2 * 8**0.25)
    assert math.isnan(perplexity([]))
    assert math.isnan(perplexity([log[:0]]))


def test_a_text_breaks_off_where_it_ends_itself_before_half():
    assert breaks_off(4, 9, has_ended=True)
    assert not breaks_off(5, 10, has_ended=True)
    assert not breaks_off(4, 9, has_ended=False)
