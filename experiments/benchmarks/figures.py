"""What the benchmarks that print figures share: timing, medians beside their bars, the machine, a larger host."""

import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

__all__ = ["larger_llama", "machine", "seconds", "summary"]


def seconds(action: Callable[[], Any]) -> float:
    """Wall time of an action."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def summary(values: list[float], *, at_most: float | None = None, at_least: float | None = None) -> dict[str, Any]:
    """Median and range over the repeats, beside the one bound that is given."""
    median = statistics.median(values)
    bar = {"wanted_at_most": at_most} if at_least is None else {"wanted_at_least": at_least}
    met = (at_most is None or median <= at_most) and (at_least is None or median >= at_least)
    return {
        "median": round(median, 4),
        "low": round(min(values), 4),
        "high": round(max(values), 4),
        **bar,
        "met": met,
    }


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {"platform": platform.platform(), "threads": torch.get_num_threads(), "torch": torch.__version__}


def larger_llama(vocab_size: int, *, n_layers: int = 8, d_model: int = 512) -> LlamaForCausalLM:
    """A model with random weights, always the same; eight layers of width 512 unless told otherwise."""
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=d_model,
        intermediate_size=11 * d_model // 4,
        num_hidden_layers=n_layers,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=256,
    )
    torch.manual_seed(0)
    return LlamaForCausalLM(config).eval()
