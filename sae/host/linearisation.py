"""Models that compute what they always compute, but whose gradients are those of a linearised model.

A linearisation holds some factors of the forward pass constant, so that one backward pass reads off what a stream
contributes to the answer:

| factor | `plain` | `frozen` | `relp` |
|---|---|---|---|
| scale of a norm | moves | held | held |
| attention pattern | moves | held | held |
| gate act(g) of a gated MLP | moves | held | g * [act(g) / g], the bracket held |
| gate times up projection | product rule | linear in the up projection | half the product rule |
| act(g) of an MLP without a gate | moves | g * [act(g) / g], the bracket held | the same |

Under `frozen` and `relp` everything between a stream and the logits is linear and, where there are no biases, gives the
logits back: <gradient, stream> = logit. Attribution graphs freeze norms and patterns in the same way but stop every
gradient at an MLP, for which transcoder features stand; here the nodes stand on the stream, and the MLP stays as the
linear map that its gate selects. A soft cap on the logits belongs to the metric and moves.

`frozen_pattern` holds the attention pattern and nothing else: what is left of an edge runs through the values.

Source: `frozen`, Ameisen et al. 2025 (Circuit Tracing), attribution graphs; `relp`, arXiv 2508.21258.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sae.host.linear_rules import (
    Rule,
    half,
    held,
    held_pattern,
    layer_norm,
    offset_rms_norm,
    plain,
    ratio,
    rms_norm,
)
from sae.host.replaced_forward import replaced_forward

__all__ = ["FROZEN_PATTERN", "LINEARISATIONS", "linearised"]

LINEARISATIONS = ("plain", "frozen", "relp")

FROZEN_PATTERN = "frozen_pattern"
"""For parts of a model: no rule for attribution by itself."""


@dataclass(frozen=True)
class _Nonlinear:
    """Where a family is not linear; paths are module paths from a decoder layer unless said otherwise.

    Attributes:
        layers: The list of decoder layers, from the model.
        final_norm: The norm before the unembedding, from the model.
        norm: The rule that holds the scale of its norms.
        norms: The norms that a layer's streams pass; those of queries and keys belong to the pattern.
        pattern: Projections that make queries or keys and nothing else.
        activation: The MLP's activation.
        up: The projection that the activation gates, where there is one.
        fused: The projection that makes queries, keys and values at once, where there is one.
    """

    layers: str
    final_norm: str
    norm: Rule
    norms: tuple[str, ...]
    pattern: tuple[str, ...]
    activation: str
    up: str | None = None
    fused: str | None = None


_LLAMA = _Nonlinear(
    layers="model.layers",
    final_norm="model.norm",
    norm=rms_norm,
    norms=("input_layernorm", "post_attention_layernorm"),
    pattern=("self_attn.q_proj", "self_attn.k_proj"),
    activation="mlp.act_fn",
    up="mlp.up_proj",
)
_GEMMA = _Nonlinear(
    layers="model.layers",
    final_norm="model.norm",
    norm=offset_rms_norm,
    norms=(
        "input_layernorm",
        "post_attention_layernorm",
        "pre_feedforward_layernorm",
        "post_feedforward_layernorm",
    ),
    pattern=("self_attn.q_proj", "self_attn.k_proj"),
    activation="mlp.act_fn",
    up="mlp.up_proj",
)

# Keyed by the configuration's `model_type`, as the families of sites.
NONLINEAR: dict[str, _Nonlinear] = {
    "llama": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
    # the text half of the model that also sees images
    "gemma3": replace(_GEMMA, layers="model.language_model.layers", final_norm="model.language_model.norm"),
    "gpt_neox": _Nonlinear(
        layers="gpt_neox.layers",
        final_norm="gpt_neox.final_layer_norm",
        norm=layer_norm,
        norms=("input_layernorm", "post_attention_layernorm"),
        pattern=(),
        activation="mlp.act",
        fused="attention.query_key_value",
    ),
}


@contextmanager
def linearised(model: Any, linearisation: str) -> Iterator[None]:
    """Let a transformers model differentiate as its linearisation while the block runs; values stay as they are.

    Args:
        model: A causal language model. Its modules get another `forward` and afterwards have their own back.
        linearisation: `plain`, `frozen`, `relp` or `frozen_pattern`.

    Raises:
        ValueError: The linearisation is unknown, or the model's family has none.
    """
    if linearisation not in (*LINEARISATIONS, FROZEN_PATTERN):
        raise ValueError(f"linearisation {linearisation!r} is unknown, expected one of {', '.join(LINEARISATIONS)}")
    rules = {} if linearisation == "plain" else _rules(model, linearisation)
    with ExitStack() as replaced:
        for path, rule in rules.items():
            module = model.get_submodule(path)
            replaced.enter_context(replaced_forward(module, partial(rule, module, module.forward)))
        yield


def _rules(model: Any, linearisation: str) -> dict[str, Rule]:
    """Which rule each nonlinear module follows, by its path from the model."""
    family = model.config.model_type
    if family not in NONLINEAR:
        raise ValueError(
            f"model family {family!r} has no linearisation {linearisation!r}, only: {', '.join(NONLINEAR)}; "
            "use plain gradients"
        )
    parts, config = NONLINEAR[family], model.config.get_text_config()
    rules: dict[str, Rule] = dict.fromkeys(parts.pattern, held)
    if parts.fused is not None:
        rules[parts.fused] = held_pattern(config.hidden_size // config.num_attention_heads)
    beyond_layers = {}
    if linearisation != FROZEN_PATTERN:
        rules |= dict.fromkeys(parts.norms, parts.norm) | _mlp_rules(parts, linearisation)
        beyond_layers = {parts.final_norm: parts.norm}
    layers = range(config.num_hidden_layers)
    everywhere = {f"{parts.layers}.{i}.{path}": rule for i in layers for path, rule in rules.items()}
    return everywhere | beyond_layers


def _mlp_rules(parts: _Nonlinear, linearisation: str) -> dict[str, Rule]:
    if parts.up is None:
        return {parts.activation: ratio}
    if linearisation == "frozen":
        return {parts.activation: held}
    return {parts.activation: half(ratio), parts.up: half(plain)}
