"""A Llama with random weights, of any shape, that is never there in more than bfloat16: for what a shape costs."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

__all__ = ["LLAMA_3_2_3B", "random_llama"]

BLOCK = 4_194_301
"""Random numbers that all weights are tiled from; no row's length divides it, so no two rows are equal."""
STANDARD_DEVIATION = 0.02

LLAMA_3_2_3B: Mapping[str, Any] = {
    "vocab_size": 128256,
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 28,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 32.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
    },
}
"""The published configuration of Llama-3.2-3B."""


def random_llama(config: Mapping[str, Any]) -> LlamaForCausalLM:
    """The model of a configuration on the processor: norms are 1, all other weights repeat one block of noise.

    Args:
        config: As of `transformers.LlamaConfig`; embeddings must be tied.
    """
    configuration = LlamaConfig(**config)
    with torch.device("meta"):
        model = LlamaForCausalLM(configuration).bfloat16()
    model.to_empty(device="cpu")
    model.model.rotary_emb = LlamaRotaryEmbedding(configuration)
    model.tie_weights()
    noise = torch.randn(BLOCK, generator=torch.Generator().manual_seed(0))
    block = noise.mul_(STANDARD_DEVIATION).bfloat16()
    start = 0
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data.fill_(1)
            continue
        start = _tile(parameter.data.view(-1), block, start)
    return model.eval()


def _tile(weights: Tensor, block: Tensor, start: int) -> int:
    """Fill weights from the block, over and over, beginning at `start`; gives where the next weights begin."""
    done = 0
    while done < len(weights):
        some = block[start : start + len(weights) - done]
        weights[done : done + len(some)] = some
        done, start = done + len(some), (start + len(some)) % len(block)
    return start
