"""Reading and replacing activations with torch's own forward hooks: what the host is compared with."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers import LlamaForCausalLM

from sae.host.sites import Site
from sae.host.token_batch import TokenBatch


def module_at(model: LlamaForCausalLM, site: Site) -> nn.Module:
    """The Llama module whose output a site is."""
    if site.kind == "embed":
        return model.model.embed_tokens
    layer = model.model.layers[site.layer]
    return {"attn_out": layer.self_attn, "mlp_out": layer.mlp, "resid_post": layer}[site.kind]


@contextmanager
def plain_hooks(model: LlamaForCausalLM, visits: Mapping[Site, Callable[[Tensor], Tensor | None]]) -> Iterator[None]:
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


def plain_logits(model: LlamaForCausalLM, batch: TokenBatch) -> Tensor:
    """Logits of the model by itself."""
    return model(
        input_ids=batch.ids,
        attention_mask=batch.attention_mask,
        position_ids=batch.position_ids,
        use_cache=False,
    ).logits
