"""Which tokens a dictionary should see often, judged without labels."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sae.activations.harvest import NO_TOKEN, Harvest

__all__ = ["importance_weights", "n_gram_log_probs"]

BASE = 0.3
CAP = 4.0
CONTEXT_TOKENS = 3


def importance_weights(harvest: Harvest) -> Float[Tensor, " tokens"]:
    r"""Sampling weights for surprising tokens and for predictions that need more than the last words.

        w = 0.3 + min(4, -log p(token)) + min(4, max(0, log p(next) - log p_ngram(next)))

    The last term is large where the host knows what comes next from farther back than three tokens, as it does
    at an answer. It carries most of the benefit; surprisal alone neglects exactly those positions.

    Args:
        harvest: Made with `importance=True`.

    Raises:
        ValueError: The harvest has no log-probabilities.
    """
    if harvest.log_probs is None or harvest.next_log_probs is None:
        raise ValueError("the harvest has no log-probabilities; harvest with importance=True")
    gain = harvest.next_log_probs - n_gram_log_probs(harvest)
    gain = torch.where(harvest.next_ids == NO_TOKEN, torch.zeros_like(gain), gain)
    return BASE + (-harvest.log_probs).clamp(0, CAP) + gain.clamp(0, CAP)


def n_gram_log_probs(harvest: Harvest) -> Float[Tensor, " tokens"]:
    """Log-probability (nats) of the next token given the last three, by counting in the harvest itself.

    A context seen once predicts its continuation perfectly, so that rare contexts never count as informative.
    """
    contexts = _group_ids(_last_tokens(harvest))
    continuations = _group_ids([contexts, harvest.next_ids])
    counts = torch.bincount(continuations)[continuations]
    return torch.log(counts / torch.bincount(contexts)[contexts])


def _last_tokens(harvest: Harvest) -> list[Int64[Tensor, " tokens"]]:
    """The token at each row and the ones before it in its document; `NO_TOKEN` before the beginning."""
    columns = [harvest.token_ids]
    for distance in range(1, CONTEXT_TOKENS):
        same_document = harvest.document_ids == harvest.document_ids.roll(distance)
        same_document[:distance] = False
        columns.append(torch.where(same_document, harvest.token_ids.roll(distance), NO_TOKEN))
    return columns


def _group_ids(columns: Sequence[Int64[Tensor, " tokens"]]) -> Int64[Tensor, " tokens"]:
    """A number for each distinct combination of values; numbers stay below that of tokens."""
    groups = torch.zeros_like(columns[0])
    for column in columns:
        values = column - NO_TOKEN
        groups = (groups * (values.max() + 1) + values).unique(return_inverse=True)[1]
    return groups
