"""Importance weights on a corpus small enough to count by hand."""

import math

import pytest
import torch

from sae.activations.harvest import NO_TOKEN, Harvest
from sae.activations.importance import importance_weights, n_gram_log_probs

A, B, C, X, Y = range(5)


def corpus(documents, log_probs=None, next_log_probs=None) -> Harvest:
    tokens = torch.tensor([token for document in documents for token in document])
    lengths = torch.tensor([len(document) for document in documents])
    return Harvest(
        activations={},
        token_ids=tokens,
        next_ids=torch.tensor([token for document in documents for token in [*document[1:], NO_TOKEN]]),
        document_ids=torch.arange(len(documents)).repeat_interleave(lengths),
        positions=torch.cat([torch.arange(1, length + 1) for length in lengths]),
        log_probs=log_probs,
        next_log_probs=next_log_probs,
    )


# after A B C comes X three times and Y once; what came before A does not count
DOCUMENTS = [[A, B, C, X], [A, B, C, X], [Y, A, B, C, X], [A, B, C, Y]]


def test_the_continuation_of_three_tokens_is_counted_across_documents():
    log_probs = n_gram_log_probs(corpus([[Y, A, B, C, X]] * 3 + [[Y, A, B, C, Y]]))

    # at C, where the context is A B C
    assert log_probs[3].exp() == pytest.approx(0.75)
    assert log_probs[18].exp() == pytest.approx(0.25)


def test_the_beginning_of_a_document_is_a_context_of_its_own():
    log_probs = n_gram_log_probs(corpus(DOCUMENTS))

    # A at the beginning is always followed by B; so is A after Y
    assert log_probs[0].exp() == pytest.approx(1)
    # Y at the beginning is followed by A, Y at the end by nothing; they are different contexts
    assert log_probs[8].exp() == pytest.approx(1)


def test_contexts_do_not_reach_into_the_document_before():
    one, other = corpus([[A, B, C, X]] * 2), corpus([[A, B, C, X], [A, B, C, Y]])

    assert n_gram_log_probs(one)[2] == 0
    assert n_gram_log_probs(other)[2].exp() == pytest.approx(0.5)


def weights(documents, surprisal, next_log_prob):
    n_tokens = sum(map(len, documents))
    log_probs, next_log_probs = torch.full((n_tokens,), -surprisal), torch.full((n_tokens,), next_log_prob)
    return importance_weights(corpus(documents, log_probs, next_log_probs))


def test_a_predictable_token_with_a_predictable_successor_has_the_base_weight():
    assert weights([[A, B, C, X]], 0.0, 0.0).tolist() == pytest.approx([0.3] * 4)


def test_knowing_more_than_the_last_three_tokens_adds_the_gain():
    gained = weights([[A, B, C, X], [A, B, C, Y]], 0.0, 0.0)

    assert gained[2] == pytest.approx(0.3 + math.log(2))
    assert gained[1] == pytest.approx(0.3)


def test_knowing_less_adds_nothing_and_the_end_of_a_document_gains_nothing():
    assert weights([[A, B, C, X], [A, B, C, Y]], 0.0, -5.0).tolist() == pytest.approx([0.3] * 8)


@pytest.mark.parametrize(("surprisal", "added"), [(1.5, 1.5), (100.0, 4.0)])
def test_surprisal_adds_up_to_four(surprisal, added):
    assert weights([[A, B]], surprisal, 0.0).tolist() == pytest.approx([0.3 + added] * 2)


def test_a_harvest_without_log_probs_is_refused():
    with pytest.raises(ValueError, match="harvest with importance=True"):
        importance_weights(corpus(DOCUMENTS))
