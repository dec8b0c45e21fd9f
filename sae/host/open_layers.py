"""Single layers of a model, run on some tokens of a prompt: with attention open, tokens do not mix.

What a layer does besides attention it does to each token alone, so a derivative at one token costs the arithmetic of
that token and not of the prompt. A layer runs on any list of tokens, in any order and as often as wanted; attention
then has a closed form, see `circuits/effects/attention_edges.py`.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.host.float32_arithmetic import float32_arithmetic
from sae.host.open_attention import Heads, Mixer, opened_attention
from sae.host.passes import Halt
from sae.host.replaced_forward import replaced_forward
from sae.host.sites import READ_KINDS, Family, Site

__all__ = ["OpenLayer", "layer_options", "stream_into"]


def stream_into(layer: int) -> Site:
    """Where the stream that enters a layer stands."""
    return Site("resid_post", layer - 1) if layer else Site("embed", None)


@dataclass(frozen=True, eq=False)
class OpenLayer:
    """One layer with its place in a prompt. All is computed in float32.

    Attributes:
        model: What the layer belongs to.
        family: Where the model keeps its sites.
        layer: Counted from 0.
        options: What the model hands to the layer besides the stream, for the whole prompt.
        lock: Held while the layer runs.
    """

    model: Any
    family: Family
    layer: int
    options: Mapping[str, Any]
    lock: threading.RLock

    @torch.no_grad()
    def heads(self, stream: Float[Tensor, "seq d_model"]) -> Heads:
        """What attention mixes when this stream enters the layer."""
        position = torch.arange(len(stream), device=stream.device)
        return self._heads(stream, position)

    @torch.enable_grad()
    def moved_heads(
        self,
        stream: Float[Tensor, "tokens d_model"],
        change: Float[Tensor, "tokens d_model"],
        position: Int[Tensor, " tokens"],
    ) -> tuple[
        Float[Tensor, "heads tokens width"],
        Float[Tensor, "heads tokens width"],
        Float[Tensor, "heads tokens value_width"],
    ]:
        """How far the query, key and value of some tokens move, to first order, when the stream changes there.

        Args:
            stream: What enters the layer at each token.
            change: Of it.
            position: Of the token in the prompt.
        """
        leaf = stream.detach().float().requires_grad_(True)
        heads = self._heads(leaf, position)
        outputs = heads.query, heads.key, heads.value
        # a product with the transposed Jacobian is linear in its cotangents, and its derivative by them is the Jacobian
        cotangents = [torch.zeros_like(x, requires_grad=True) for x in outputs]
        [transposed] = torch.autograd.grad(outputs, leaf, cotangents, create_graph=True)
        query, key, value = torch.autograd.grad(transposed, cotangents, change)
        return query, key, value

    def _heads(self, stream: Float[Tensor, "tokens d_model"], position: Int[Tensor, " tokens"]) -> Heads:
        found: list[Heads] = []

        def read(heads: Heads) -> Tensor:
            found.append(heads)
            raise Halt

        self._run(stream, position, read, {})
        return found[0]

    @torch.enable_grad()
    def pulled_back(
        self,
        rows: Mapping[Site, Float[Tensor, "tokens d_model"]],
        position: Int[Tensor, " tokens"],
        clean: Mapping[Site, Float[Tensor, "tokens _"]],
        mixed: Float[Tensor, "heads tokens value_width"] | None,
    ) -> tuple[dict[Site, Float[Tensor, "tokens _"]], Float[Tensor, "heads tokens value_width"] | None]:
        """Vector-Jacobian products of each token by itself, mixed values being held.

        Args:
            rows: Derivatives by what arrives at some sites of the layer.
            position: Of the tokens in the prompt.
            clean: What goes on from the sites where the layer is cut, the stream that enters it among them.
            mixed: What attention's output projection reads; None where attention is cut off.

        Returns:
            Derivatives by what goes on from each site of `clean`, and by `mixed`.
        """
        leaves = {site: x.detach().requires_grad_(True) for site, x in clean.items()}
        z = None if mixed is None else mixed.detach().requires_grad_(True)
        arrived = self._arrivals(leaves, z, position, rows)
        inputs = [*leaves.values(), *([] if z is None else [z])]
        pulled = torch.autograd.grad(
            [arrived[site] for site in rows], inputs, list(rows.values()), allow_unused=True, materialize_grads=True
        )
        return dict(zip(leaves, pulled, strict=False)), None if z is None else pulled[-1]

    def _arrivals(
        self,
        leaves: Mapping[Site, Float[Tensor, "tokens _"]],
        mixed: Float[Tensor, "heads tokens value_width"] | None,
        position: Int[Tensor, " tokens"],
        wanted: Collection[Site],
    ) -> dict[Site, Float[Tensor, "tokens _"]]:
        """What arrives at the wanted sites; the layer does not run on after the last of them."""
        arrived: dict[Site, Tensor] = {}

        def visit(site: Site, x: Tensor) -> Tensor:
            if site in wanted:
                arrived[site] = x[0]
            if len(arrived) == len(wanted):
                raise Halt
            return leaves[site][None] if site in leaves else x

        def mix(heads: Heads) -> Tensor:
            return torch.zeros_like(heads.value) if mixed is None else mixed

        stream = stream_into(self.layer)
        inner = {site for site in (*leaves, *wanted) if site != stream}
        self._run(leaves[stream], position, mix, dict.fromkeys(inner, visit))
        return arrived

    def _run(
        self,
        stream: Float[Tensor, "tokens d_model"],
        position: Int[Tensor, " tokens"],
        mixer: Mixer,
        visits: Mapping[Site, Callable[[Site, Tensor], Tensor]],
    ) -> None:
        layer = self.model.get_submodule(f"{self.family.layers}.{self.layer}")
        rotation = tuple(x[:, position] for x in self.options["position_embeddings"])
        with ExitStack() as stack:
            stack.enter_context(self.lock)
            stack.enter_context(float32_arithmetic(layer))
            stack.enter_context(opened_attention(self.model, mixer))
            for site, visit in visits.items():
                stack.enter_context(_visited(self.model.get_submodule(self.family.module_path(site)), site, visit))
            stack.enter_context(suppress(Halt))
            layer(stream.float()[None], **{**self.options, "position_embeddings": rotation})


@contextmanager
def _visited(module: Any, site: Site, visit: Callable[[Site, Tensor], Tensor]) -> Iterator[None]:
    """A site that is seen, and perhaps replaced, whenever the layer runs."""

    def before(_: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return visit(site, inputs[0]), *inputs[1:]

    def after(_: Any, inputs: Any, output: Any) -> Any:
        return (visit(site, output[0]), *output[1:]) if isinstance(output, tuple) else visit(site, output)

    is_read = site.kind in READ_KINDS
    handle = module.register_forward_pre_hook(before) if is_read else module.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


def layer_options(model: Any, family: Family, inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a model hands to each of its layers besides the stream, with attention open; no layer runs.

    Args:
        model: A transformers model.
        family: Where it keeps its layers.
        inputs: Of its decoder.
    """
    options: list[dict[str, Any]] = []
    decoder = model.get_submodule(family.decoder)
    layers = list(model.get_submodule(family.layers))

    def skip(stream: Tensor, **given: Any) -> Tensor:
        options.append(given)
        if len(options) == len(layers):
            raise Halt
        return stream

    with ExitStack() as stack:
        stack.enter_context(float32_arithmetic(decoder))
        stack.enter_context(opened_attention(model, lambda heads: heads.value))
        for layer in layers:
            stack.enter_context(replaced_forward(layer, skip))
        stack.enter_context(suppress(Halt))
        decoder(**inputs)
    return options
