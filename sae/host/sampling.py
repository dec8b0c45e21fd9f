"""How the next token is chosen when a model continues a text."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["generation_config", "seeded"]


def generation_config(
    *,
    max_new_tokens: int,
    pad_token_id: int,
    do_sample: bool,
    temperature: float,
    top_k: int,
    top_p: float,
) -> Any:
    """A transformers configuration that leaves only the end-of-text tokens to the model's own defaults.

    The arguments are those of `HostModel.generate`; `pad_token_id` follows the end of a row that ends early.

    Raises:
        ValueError: A number is out of range.
    """
    from transformers import GenerationConfig

    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens is {max_new_tokens}, expected at least 1")
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}, expected a number above 0; to be greedy do not sample")
    if top_k < 0:
        raise ValueError(f"top_k is {top_k}, expected a number of tokens, or 0 for all")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}, expected a probability above 0 and up to 1")
    # Greedy decoding gets the library's defaults: it warns about any other value that it will not use.
    if not do_sample:
        temperature, top_k, top_p = 1.0, 50, 1.0
    return GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=do_sample,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        repetition_penalty=1.0,
        pad_token_id=pad_token_id,
    )


@contextmanager
def seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    """Draw random numbers from `seed` inside the block and leave torch's own random state as it was."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
