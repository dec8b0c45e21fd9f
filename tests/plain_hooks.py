"""Reading and replacing activations with torch's own forward hooks: what the host is compared with."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from sae.host.sites import Site
from sae.host.token_batch import TokenBatch


def module_at(model: PreTrainedModel, site: Site) -> nn.Module:
    """The module whose output a site is, by hand for each family."""
    family = model.config.model_type
    if family == "gpt_neox":
        stack = model.gpt_neox
        embedding, names = stack.embed_in, {"attn_out": "attention", "mlp_out": "mlp"}
    else:
        stack = model.model.language_model if family == "gemma3" else model.model
        embedding, names = stack.embed_tokens, {"attn_out": "self_attn", "mlp_out": "mlp"}
        if family.startswith("gemma"):
            names = {"attn_out": "post_attention_layernorm", "mlp_out": "post_feedforward_layernorm"}
    if site.layer is None:
        return embedding
    layer = stack.layers[site.layer]
    return getattr(layer, names[site.kind]) if site.kind in names else layer


@contextmanager
def plain_hooks(model: PreTrainedModel, visits: Mapping[Site, Callable[[Tensor], Tensor | None]]) -> Iterator[None]:
    """Call each function on the activation at its site; what it returns, if anything, replaces the activation."""

    def hook(visit: Callable[[Tensor], Tensor | None]) -> Callable[..., Any]:
        def call(module: nn.Module, inputs: Any, output: Any) -> Any:
            replacement = visit(output[0] if isinstance(output, tuple) else output)
            if replacement is None:
                return None
            return (replacement, *output[1:]) if isinstance(output, tuple) else replacement

        return call

    handles = [module_at(model, site).register_forward_hook(hook(visit)) for site, visit in visits.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def plain_logits(model: PreTrainedModel, batch: TokenBatch) -> Tensor:
    """Logits of the model by itself."""
    return model(
        input_ids=batch.ids,
        attention_mask=batch.attention_mask,
        position_ids=batch.position_ids,
        use_cache=False,
    ).logits
