"""How probable the host finds the tokens that follow."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from sae.host.token_batch import TokenBatch

__all__ = ["next_token_log_probs"]


def next_token_log_probs(logits: Float[Tensor, "batch seq vocab"], batch: TokenBatch) -> Float[Tensor, "batch seq"]:
    """Log-probability (nats) of each position's next token; 0 where none follows.

    Rows are taken one at a time, because the log-softmax of a whole batch would double its largest tensor.
    """
    log_probs = torch.zeros(batch.ids.shape, device=logits.device)
    for row, (row_logits, ids) in enumerate(zip(logits, batch.ids, strict=True)):
        log_probs[row, :-1] = -cross_entropy(row_logits[:-1].float(), ids[1:], reduction="none")
    has_next = torch.zeros_like(batch.attention_mask)
    has_next[:, :-1] = batch.attention_mask[:, :-1] & batch.attention_mask[:, 1:]
    return log_probs * has_next
