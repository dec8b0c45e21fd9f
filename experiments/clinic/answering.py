"""What the host answers to many prompts at once."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from sae.host.host import Edit, HostModel
from sae.host.sites import Site
from sae.host.token_batch import TokenBatch

__all__ = ["answers"]

BATCH_ROWS = 128


def answers(
    host: HostModel, prompts: Sequence[str], edits_of: Callable[[TokenBatch], Mapping[Site, Edit]] | None = None
) -> Int[Tensor, " prompts"]:
    """Likeliest next token of each prompt.

    Args:
        host: The model.
        prompts: Texts without a trailing space.
        edits_of: From a batch to the edits under which it is run; none by default.
    """
    rows = [host.tokenise(prompt) for prompt in prompts]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found = torch.empty(len(rows), dtype=torch.long)
    for start in range(0, len(order), BATCH_ROWS):
        chosen = order[start : start + BATCH_ROWS]
        batch = host.batch([rows[i] for i in chosen])
        edits: Mapping[Site, Edit] = edits_of(batch) if edits_of is not None else {}
        logits = host.forward(batch, edits, logits_to_keep=1).logits[:, -1]
        found[chosen] = logits.argmax(dim=-1).cpu()
    return found
