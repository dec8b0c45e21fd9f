"""The stories that a model tells: text of its own kind where there is no other."""

import torch

from sae.host.host import HostModel

__all__ = ["told_stories"]

STORIES_PER_PASS = 200


def told_stories(host: HostModel, n: int, *, seed: int, n_tokens: int = 120) -> list[str]:
    """Stories that the model tells from nothing, drawn at its own probabilities; no two are the same.

    Args:
        host: Its tokenizer has a BOS, from which stories begin.
        n: How many are told.
        seed: Of the draws.
        n_tokens: Of each at most.
    """
    found: dict[str, None] = {}
    beginning = torch.tensor([host.tokenizer.bos_token_id])
    for start in range(0, n, STORIES_PER_PASS):
        batch = host.batch([beginning] * min(STORIES_PER_PASS, n - start))
        told = host.generate(batch, max_new_tokens=n_tokens, do_sample=True, seed=seed + start)
        found |= dict.fromkeys(host.tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in told)
    return [text for text in found if text]
