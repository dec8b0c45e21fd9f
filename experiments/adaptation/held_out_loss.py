"""How well a host predicts held-out text: perplexity with its interval over documents."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from sae.host.prompts import prompt_ids
from sae.measurement import Measurement, bootstrap
from sae.progress import progress

__all__ = ["HeldOutLoss", "measure_held_out_loss", "perplexity_ratio"]


@dataclass(frozen=True, eq=False)
class HeldOutLoss:
    """What each document cost.

    Attributes:
        nats: Cross-entropy of a document, summed over the tokens that were predicted.
        n_predictions: How many these are.
    """

    nats: Float64[Tensor, " documents"]
    n_predictions: Float64[Tensor, " documents"]

    def perplexity(self) -> Measurement:
        """exp of the mean cross-entropy of a token; documents are what is resampled."""
        return bootstrap(self._perplexities, len(self.nats), higher_is_better=False)

    def _perplexities(self, counts: Float64[Tensor, "draws documents"]) -> Float64[Tensor, " draws"]:
        return torch.exp((counts @ self.nats) / (counts @ self.n_predictions))


def perplexity_ratio(after: HeldOutLoss, before: HeldOutLoss) -> Measurement:
    """Perplexity after over before on the same documents, paired; below 1 where training helped."""

    def ratios(counts: Float64[Tensor, "draws documents"]) -> Float64[Tensor, " draws"]:
        return torch.exp(counts @ (after.nats - before.nats) / (counts @ after.n_predictions))

    return bootstrap(ratios, len(after.nats), higher_is_better=False)


def measure_held_out_loss(model: Any, tokenizer: Any, texts: Sequence[str], *, context_length: int) -> HeldOutLoss:
    """Predict documents, each from its own beginning.

    Args:
        model: A transformers causal language model.
        tokenizer: Its tokenizer.
        texts: Documents; of longer ones the first `context_length` tokens are read. One token by itself predicts
            nothing and is passed over.
        context_length: Tokens of a document at most, BOS included.

    Raises:
        ValueError: No document has anything to predict.
    """
    rows = [torch.tensor(prompt_ids(tokenizer, text)[:context_length]) for text in texts]
    rows = [row for row in rows if len(row) > 1]
    if not rows:
        raise ValueError(f"none of {len(texts)} held-out documents has two tokens, expected text to predict")
    was_training = model.training
    model.eval()
    nats = [_summed_nats(model, row) for row in progress(rows, "held-out text", unit="document")]
    model.train(was_training)
    n_predictions = torch.tensor([len(row) - 1 for row in rows], dtype=torch.float64)
    return HeldOutLoss(torch.tensor(nats, dtype=torch.float64), n_predictions)


@torch.no_grad()
def _summed_nats(model: Any, row: Int[Tensor, " seq"]) -> float:
    ids = row.to(model.device)
    logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1].float()
    nats = float(cross_entropy(logits, ids[1:], reduction="sum"))
    if not math.isfinite(nats):
        raise ValueError("the model's loss on held-out text is not finite; lower the learning rate or use float32")
    return nats
