"""Passes through a model that is cut open at some sites: what one block does while everything else is held."""

import threading
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sae.host.language_model import LanguageModel
from sae.host.linearisation import FROZEN_PATTERN, linearised
from sae.host.live_sites import LiveSites
from sae.host.open_layers import OpenLayer, layer_options
from sae.host.passes import CutGraph, Halt
from sae.host.sites import Site, parent_sites
from sae.host.token_batch import TokenBatch

__all__ = ["CutPasses"]


class CutPasses(LanguageModel):
    """The part of a host model that cuts it open."""

    _live: LiveSites
    _lock: threading.RLock

    @abstractmethod
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

    @torch.enable_grad()
    def cut_graph(
        self,
        batch: TokenBatch,
        sites: Iterable[Site],
        *,
        input_sites: Collection[Site] = (),
        frozen_attention: bool = False,
    ) -> CutGraph:
        """Run the model with each of some sites replaced by a leaf of equal value, in float32.

        Vector-Jacobian products from `inputs[site]` to the leaves of `parents(site, sites)` are the direct
        effects: those that pass through none of the other sites.

        Args:
            batch: What to run.
            sites: Where to cut.
            input_sites: More sites to return as `inputs`, uncut, such as those that transcoders read.
            frozen_attention: Let no derivative pass that would move an attention pattern; values stay as they are.
        """
        cut_sites = set(sites)
        ordered = self._live.in_order({*cut_sites, *input_sites})
        inputs: dict[Site, Tensor] = {}
        leaves: dict[Site, Tensor] = {}

        def cut() -> None:
            for site in ordered:
                inputs[site] = self._live.read(site)
                if site not in cut_sites:
                    continue
                leaves[site] = self._live.write(site, inputs[site].detach().requires_grad_(True))
            raise Halt

        with self._lock, linearised(self._model, FROZEN_PATTERN if frozen_attention else "plain"):
            self._run(cut, batch, self.family.decoder, in_float32=True)
        return CutGraph(inputs, leaves)

    @torch.no_grad()
    def open_layers(self, batch: TokenBatch) -> list[OpenLayer]:
        """All layers, each to be run by itself on any tokens of the batch, which has one row."""
        batch = batch.to(self.device)
        with self._lock:
            options = layer_options(self._model, self.family, batch.model_inputs)
        return [OpenLayer(self._model, self.family, layer, own, self._lock) for layer, own in enumerate(options)]

    @torch.no_grad()
    def arrivals(
        self,
        batch: TokenBatch,
        held: Mapping[Site, Float[Tensor, "_ seq d_model"]],
        targets: Collection[Site],
    ) -> dict[Site, Float[Tensor, "batch seq d_model"]]:
        """What arrives at some sites while others are held, in float32; nothing is read after the last target.

        Args:
            batch: What to run; where the first site held is a `resid_post` the layers up to it do not run.
            held: What goes on from each site, whatever arrives there; a single row stands for all.
            targets: Where to read. What arrives at a site that is also held is read before it is replaced.

        Raises:
            ValueError: The model lacks one of the sites.
        """
        ordered = self._live.in_order({*held, *targets})
        values = {site: x.float().expand(len(batch.ids), -1, -1) for site, x in held.items()}
        arrived: dict[Site, Tensor] = {}

        def hold_and_read() -> None:
            for site in ordered[: ordered.index(max(targets)) + 1]:
                if site == ordered[0] and site not in targets:
                    self._live.hold(site, values[site], None)
                    continue
                if site in targets:
                    arrived[site] = self._live.read(site)
                if site in held:
                    self._live.write(site, values[site])
            raise Halt

        self._run(hold_and_read, batch, self.family.decoder, in_float32=True)
        return arrived

    def parents(self, site: Site, sites: Collection[Site]) -> list[Site]:
        """The sites among `sites` with a path to `site` that no other of them cuts, in forward order."""
        return parent_sites(site, sites, self.family)

    @torch.no_grad()
    def last_stream(
        self, batch: TokenBatch, site: Site, activation: Float[Tensor, "batch seq d_model"]
    ) -> Float[Tensor, "batch seq d_model"]:
        """What leaves the last layer with one site held, as in `forward_from`; `unembed` makes logits of it."""
        site, last = self._live.in_order([site, Site("resid_post", self.n_layers - 1)])[0], self.sites[-1]
        results = {"stream": activation.to(self.dtype)}

        def hold_and_read() -> None:
            self._live.hold(site, results["stream"], None)
            results["stream"] = self._live.read(last)
            raise Halt

        if site != last:
            self._run(hold_and_read, batch, self.family.decoder)
        return results["stream"]
