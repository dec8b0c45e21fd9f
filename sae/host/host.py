"""A language model whose activations can be read, replaced and differentiated at named sites.

This is the only file that imports nnsight. Each `with` block that nnsight runs holds one call to an ordinary
function, visits sites in forward order and hands its results out through a dictionary; gradients come from
`torch.autograd.grad` after the block.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from nnsight import NNsight
from nnsight.intervention.interleaver import OutOfOrderError
from torch import Tensor

from sae.host.cut_passes import CutPasses
from sae.host.float32_arithmetic import float32_arithmetic
from sae.host.linearisation import linearised
from sae.host.live_sites import LiveSites
from sae.host.passes import NO_EDITS, CutGraph, Edit, ForwardPass, Halt, Metric, SiteGradients
from sae.host.sampling import generation_config, seeded
from sae.host.sites import Site
from sae.host.token_batch import TokenBatch

__all__ = ["CutGraph", "Edit", "ForwardPass", "HostModel", "Metric", "SiteGradients"]


class HostModel(CutPasses):
    """A language model with named sites. Any thread may use it; its passes run one at a time."""

    def __init__(self, model: Any, tokenizer: Any, *, name: str, path: Path | None = None) -> None:
        super().__init__(model, tokenizer, name=name, path=path)
        self._traced = NNsight(self._model)
        self._live = LiveSites({site: self._traced.get(self.family.module_path(site)) for site in self.all_sites})
        self._lock = threading.RLock()

    @torch.no_grad()
    def capture(self, batch: TokenBatch, sites: Iterable[Site]) -> dict[Site, Float[Tensor, "batch seq d_model"]]:
        """Activations at some sites, without gradients; layers after the last of them do not run."""
        ordered = self._live.in_order(sites)
        activations: dict[Site, Tensor] = {}

        def read_sites() -> None:
            for site in ordered:
                activations[site] = self._live.read(site)
            raise Halt

        self._run(read_sites, batch, self.family.decoder)
        return activations

    @torch.no_grad()
    def forward(
        self,
        batch: TokenBatch,
        edits: Mapping[Site, Edit] = NO_EDITS,
        *,
        capture: Collection[Site] = (),
        logits_to_keep: int = 0,
    ) -> ForwardPass:
        """One forward pass without gradients.

        Args:
            batch: What to run.
            edits: For each edited site a function from the activation that this run has to its replacement.
            capture: Sites whose activations to return, after any edit.
            logits_to_keep: Return the logits of this many last positions; 0 for all.
        """
        return self._edited(batch, edits, capture, logits_to_keep=logits_to_keep)

    @torch.enable_grad()
    def forward_with_graph(
        self, batch: TokenBatch, edits: Mapping[Site, Edit], *, logits_to_keep: int = 0
    ) -> Float[Tensor, "batch kept vocab"]:
        """Logits as of `forward`, in float32, with the autograd graph of whatever the edits bring that needs one."""
        return self._edited(batch, edits, (), in_float32=True, logits_to_keep=logits_to_keep).logits

    def _edited(
        self, batch: TokenBatch, edits: Mapping[Site, Edit], capture: Collection[Site], **options: Any
    ) -> ForwardPass:
        ordered = self._live.in_order({*edits, *capture})
        activations: dict[Site, Tensor] = {}
        results: dict[str, Tensor] = {}

        def edit_and_read() -> None:
            for site in ordered:
                activation = self._live.edit(site, edits)
                if site in capture:
                    activations[site] = activation
            results["logits"] = self._traced.output.logits

        self._run(edit_and_read, batch, **options)
        return ForwardPass(results["logits"], activations)

    @torch.no_grad()
    def forward_from(
        self,
        batch: TokenBatch,
        site: Site,
        activation: Float[Tensor, "batch seq d_model"],
        *,
        layer_input: Float[Tensor, "batch seq d_model"] | None = None,
        edits: Mapping[Site, Edit] = NO_EDITS,
        logits_to_keep: int = 0,
    ) -> Float[Tensor, "batch kept vocab"]:
        """Logits with one site held at a given activation, without gradients.

        Args:
            batch: What to run.
            site: As in `gradient_at`.
            activation: As in `gradient_at`.
            layer_input: As in `gradient_at`.
            edits: As in `forward`, of sites after `site`.
            logits_to_keep: As in `forward`.

        Raises:
            ValueError: The model lacks a site, or an edit is of `site` or of one before it.
        """
        [site], ordered = self._live.in_order([site]), self._live.in_order(edits)
        if ordered and ordered[0] <= site:
            raise ValueError(f"there is an edit at {ordered[0]}, expected edits after {site}, which is held; drop it")
        layer_input = None if layer_input is None else layer_input.to(self.dtype)
        results: dict[str, Tensor] = {}

        def hold_edit_and_read() -> None:
            self._live.hold(site, activation.to(self.dtype), layer_input)
            for later in ordered:
                self._live.edit(later, edits)
            results["logits"] = self._traced.output.logits

        self._run(hold_edit_and_read, batch, logits_to_keep=logits_to_keep)
        return results["logits"]

    @torch.enable_grad()
    def gradients(
        self,
        batch: TokenBatch,
        sites: Iterable[Site],
        metric: Metric,
        edits: Mapping[Site, Edit] = NO_EDITS,
        *,
        logits_to_keep: int = 0,
        linearisation: str = "plain",
    ) -> SiteGradients:
        """Gradients of a metric at some sites: one forward and one backward pass, in float32.

        Args:
            batch: What to run.
            sites: Where to take gradients.
            metric: One value a row, from the logits of the kept positions.
            edits: As in `forward`; gradients pass through them. Not together with a linearisation.
            logits_to_keep: As in `forward`.
            linearisation: `plain`, or whose gradients to take: `frozen` or `relp`, see `linearisation.py`.

        Raises:
            ValueError: The linearisation is unknown or not known for the family, or there are edits besides.
        """
        if edits and linearisation != "plain":
            raise ValueError(f"edits and linearisation {linearisation!r} were both given, expected one; drop the other")
        wanted = set(sites)
        ordered = self._live.in_order({*wanted, *edits})
        activations: dict[Site, Tensor] = {}
        results: dict[str, Tensor] = {}

        def edit_and_read() -> None:
            for site in ordered:
                activation = self._live.edit(site, edits)
                # The weights are frozen, so the graph begins at the first wanted site.
                if site in wanted and not activation.requires_grad:
                    activation = self._live.write(site, activation.detach().requires_grad_(True))
                if site in wanted:
                    activations[site] = activation
            results["metric"] = metric(self._traced.output.logits)

        with self._lock, linearised(self._model, linearisation):
            self._run(edit_and_read, batch, in_float32=True, logits_to_keep=logits_to_keep)
        values = results["metric"]
        gradients = _gradients(values, list(activations.values()))
        detached = {site: activation.detach() for site, activation in activations.items()}
        return SiteGradients(values.detach(), detached, dict(zip(activations, gradients, strict=True)))

    @torch.enable_grad()
    def gradient_at(
        self,
        batch: TokenBatch,
        site: Site,
        activation: Float[Tensor, "batch seq d_model"],
        metric: Metric,
        *,
        layer_input: Float[Tensor, "batch seq d_model"] | None = None,
        logits_to_keep: int = 0,
    ) -> tuple[Float[Tensor, " rows"], Float[Tensor, "batch seq d_model"]]:
        """Metric and gradient with one site held at a given activation, in float32.

        Args:
            batch: What to run.
            site: The site to hold; for `resid_post` the layers up to it do not run.
            activation: What to hold it at.
            metric: As in `gradients`.
            layer_input: The stream that enters the site's layer, if known: with it the layers before an
                `attn_out` or `mlp_out` do not run either.
            logits_to_keep: As in `forward`.

        Returns:
            The metric, one value a row, and the gradient of its sum with respect to `activation`.
        """
        [site] = self._live.in_order([site])
        held = activation.detach().float().requires_grad_(True)
        layer_input = None if layer_input is None else layer_input.float()
        results: dict[str, Tensor] = {}

        def hold_and_read() -> None:
            self._live.hold(site, held, layer_input)
            results["metric"] = metric(self._traced.output.logits)

        self._run(hold_and_read, batch, in_float32=True, logits_to_keep=logits_to_keep)
        return results["metric"].detach(), _gradients(results["metric"], [held])[0]

    @torch.no_grad()
    def generate(
        self,
        batch: TokenBatch,
        *,
        max_new_tokens: int,
        edits: Mapping[Site, Edit] = NO_EDITS,
        do_sample: bool = False,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int | None = None,
        streamer: Any = None,
    ) -> Int[Tensor, "batch seq_out"]:
        """Continue every row, with a cache of keys and values.

        Args:
            batch: The prompts.
            max_new_tokens: Most tokens to add; a row ends early at the end-of-text token and is then padded.
            edits: As in `forward`: once for the prompt, then at every step for the one new position.
            do_sample: Draw tokens instead of taking the likeliest.
            temperature: Divides the logits before drawing, above 0.
            top_k: Draw from this many likeliest tokens; 0 for all.
            top_p: Draw from the fewest likeliest tokens that together have this probability, in (0, 1].
            seed: Makes drawing repeatable and leaves torch's own random state as it was.
            streamer: Of transformers: is given the prompts, and every new token of all rows as it is chosen.

        Returns:
            Prompts and continuations.

        Raises:
            ValueError: A number is out of range, or prompt and continuation do not fit into the context.
        """
        self.check_length(batch.ids.shape[1] + max_new_tokens, "the prompt with its continuation")
        config = generation_config(
            max_new_tokens=max_new_tokens,
            pad_token_id=self.tokenizer.pad_token_id or 0,
            do_sample=do_sample,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
        )
        ordered = self._live.in_order(edits)
        results: dict[str, Tensor] = {}

        def edit_every_step(tracer: Any) -> None:
            # The loop ends by asking for the step after the last one; one that asks for nothing never ends.
            with suppress(OutOfOrderError):
                for _ in tracer.iter[:] if ordered else ():
                    for site in ordered:
                        self._live.edit(site, edits)

        def read_result(tracer: Any) -> None:
            results["ids"] = tracer.result

        batch = batch.to(self.device)
        inputs = {"input_ids": batch.ids, "attention_mask": batch.attention_mask, "generation_config": config}
        inputs |= {} if streamer is None else {"streamer": streamer}
        with self._lock, seeded(seed, self.device), self._traced.trace(fn="generate") as tracer:
            with tracer.invoke(**inputs):
                edit_every_step(tracer)
            # The result is read in a block of its own, since the first one may end with the loop.
            with tracer.invoke():
                read_result(tracer)
        return results["ids"]

    def _run(
        self,
        body: Callable[[], None],
        batch: TokenBatch,
        module_path: str = "",
        *,
        in_float32: bool = False,
        **options: Any,
    ) -> None:
        """Run the model, or only the module at `module_path`, with `body` reading and writing its sites."""
        envoy = self._traced.get(module_path) if module_path else self._traced
        module = self._model.get_submodule(module_path)
        precision = float32_arithmetic(module) if in_float32 else nullcontext()
        batch = batch.to(self.device)
        inputs = {**batch.model_inputs, **options}
        with self._lock, precision, suppress(Halt), envoy.trace(**inputs):
            body()


def _gradients(metric: Tensor, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    """Of the summed metric; zero where an edit has cut an input off."""
    if not metric.requires_grad:
        raise ValueError("the metric does not depend on the sites; compute it from the logits")
    return torch.autograd.grad(metric.sum(), inputs, allow_unused=True, materialize_grads=True)
