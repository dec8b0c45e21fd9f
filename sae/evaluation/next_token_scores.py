"""How well next tokens are predicted from what leaves the last layer, in several runs at once.

Logits are made for a few tokens at a time, the plain run's and one other run's: with a vocabulary of 128 256 tokens the
logits of 8 x 1024 of them take 4.2 GB, and nothing here holds more than `LOGIT_BYTES` of each.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from sae.host.language_model import LanguageModel

__all__ = ["NextTokenScores", "next_token_scores"]

LOGIT_BYTES = 8 * 2**20


@dataclass(frozen=True, eq=False)
class NextTokenScores:
    """Of each predicted token.

    Attributes:
        cross_entropy: In nats.
        divergence: KL divergence (nats) of the run from the plain one, KL(plain || run); 0 for the plain one itself.
        is_right: Whether the likeliest token is the one that follows.
    """

    cross_entropy: Float64[Tensor, " tokens"]
    divergence: Float64[Tensor, " tokens"]
    is_right: Bool[Tensor, " tokens"]

    @classmethod
    def concatenate(cls, parts: "list[NextTokenScores]") -> "NextTokenScores":
        """The tokens of several parts, one after another."""
        return cls(
            torch.cat([part.cross_entropy for part in parts]),
            torch.cat([part.divergence for part in parts]),
            torch.cat([part.is_right for part in parts]),
        )


@torch.no_grad()
def next_token_scores(
    host: LanguageModel,
    plain: Float[Tensor, "tokens d_model"],
    runs: Mapping[str, Float[Tensor, "tokens d_model"]],
    next_ids: Int64[Tensor, " tokens"],
) -> tuple[NextTokenScores, dict[str, NextTokenScores]]:
    """Scores of the plain run and of others.

    Args:
        host: Whose unembedding to use.
        plain: What leaves the last layer in the plain run, where a token follows.
        runs: The same of other runs.
        next_ids: The token that follows each.
    """
    chunk_tokens = max(1, LOGIT_BYTES // (4 * host.vocab_size))
    of_plain: list[NextTokenScores] = []
    of_runs: dict[str, list[NextTokenScores]] = {name: [] for name in runs}
    for start in range(0, max(1, len(plain)), chunk_tokens):
        chunk = slice(start, start + chunk_tokens)
        reference = host.unembed(plain[chunk]).float().log_softmax(-1)
        following, probs = next_ids[chunk].to(reference.device), reference.exp()
        # sum p log p, once for all runs
        negative_entropy = (probs * reference).sum(-1)
        of_plain.append(_scores(reference, torch.zeros_like(negative_entropy), following))
        for name, stream in runs.items():
            log_probs = host.unembed(stream[chunk]).float().log_softmax(-1)
            cross = torch.linalg.vecdot(probs, log_probs)
            of_runs[name].append(_scores(log_probs, negative_entropy - cross, following))
    return (
        NextTokenScores.concatenate(of_plain),
        {name: NextTokenScores.concatenate(parts) for name, parts in of_runs.items()},
    )


def _scores(
    log_probs: Float[Tensor, "tokens vocab"], divergence: Float[Tensor, " tokens"], next_ids: Int64[Tensor, " tokens"]
) -> NextTokenScores:
    chosen = log_probs.gather(1, next_ids[:, None])[:, 0]
    # equal to the largest, without a second look for where that is
    is_right = chosen == log_probs.amax(-1)
    return NextTokenScores(-chosen.double(), divergence.double(), is_right)
