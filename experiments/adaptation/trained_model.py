"""The model that is adapted: loaded with what is to be trained, and written as transformers does."""

import shutil
import warnings
from pathlib import Path
from typing import Any

import torch

from experiments.adaptation.settings import AdaptationSettings
from sae.host.loading import load_model, progress_only_for_terminals

__all__ = ["save_adapted", "trainable_model"]


def trainable_model(path: Path, settings: AdaptationSettings, *, device: torch.device) -> Any:
    """The causal language model of a directory: what is trained is in float32, what is frozen as the settings say.

    It is in evaluation mode, without dropout: then a run depends on nothing but its settings, and can be continued
    to the same bits.

    Args:
        path: A transformers directory.
        settings: Whether all weights are trained or low-rank updates of them.
        device: Where to put it.
    """
    if settings.lora_rank is None:
        return load_model(path, torch.float32, device).requires_grad_(True)
    from peft import LoraConfig, get_peft_model

    frozen = load_model(path, getattr(torch, settings.precision), device)
    low_rank = LoraConfig(
        r=settings.lora_rank, lora_alpha=settings.lora_alpha, lora_dropout=0.0, target_modules="all-linear"
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        # peft asks transformers by a name that transformers is about to drop
        warnings.simplefilter("ignore", FutureWarning)
        torch.manual_seed(settings.seed)
        return get_peft_model(frozen, low_rank, autocast_adapter_dtype=True).eval()


def save_adapted(model: Any, tokenizer: Any, directory: Path) -> Any:
    """Write model and tokenizer as a transformers directory, at once or not at all, low-rank updates merged.

    Returns:
        The model as it was written.
    """
    merged = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
    unfinished = directory.with_name(f".{directory.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    with progress_only_for_terminals():
        merged.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    shutil.rmtree(directory, ignore_errors=True)
    unfinished.rename(directory)
    return merged
