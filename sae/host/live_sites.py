"""Reading and writing the sites of a model while it runs."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from sae.host.passes import Edit
from sae.host.sites import READ_KINDS, Site

__all__ = ["LiveSites"]


class LiveSites:
    """The sites of a model; inside a running pass they must be visited in forward order.

    Args:
        modules: For each site a handle whose `output` (for `READ_KINDS`, `input`) can be read and set while the model
            runs, and whose `skip` puts a value in the place of running it.
    """

    def __init__(self, modules: Mapping[Site, Any]) -> None:
        self._modules = modules

    def in_order(self, sites: Iterable[Site]) -> list[Site]:
        """The sites in forward order, each once.

        Raises:
            ValueError: The model lacks one of them.
        """
        ordered = sorted(set(sites))
        if missing := [str(site) for site in ordered if site not in self._modules]:
            raise ValueError(f"the model has no site {missing[0]}, its last is {max(self._modules)}")
        return ordered

    def read(self, site: Site) -> Tensor:
        """The activation that the running pass has at a site."""
        if site.kind in READ_KINDS:
            return self._modules[site].input
        output = self._modules[site].output
        return output[0] if isinstance(output, tuple) else output

    def write(self, site: Site, activation: Tensor) -> Tensor:
        """Let the running pass go on with another activation; returns it."""
        if site.kind in READ_KINDS:
            self._modules[site].input = activation
            return activation
        output = self._modules[site].output
        self._modules[site].output = (activation, *output[1:]) if isinstance(output, tuple) else activation
        return activation

    def edit(self, site: Site, edits: Mapping[Site, Edit]) -> Tensor:
        """The activation at a site, once the edit there, if any, is made.

        Raises:
            ValueError: The edit returned another shape.
        """
        activation = self.read(site)
        if site not in edits:
            return activation
        edited = edits[site](activation)
        if edited.shape != activation.shape:
            shapes = f"{tuple(edited.shape)}, expected {tuple(activation.shape)}"
            raise ValueError(f"the edit at {site} returned an activation of shape {shapes}")
        return self.write(site, edited.to(activation.dtype))

    def hold(self, site: Site, activation: Tensor, layer_input: Tensor | None) -> None:
        """Put `activation` at a site and skip the layers that then cannot matter.

        Args:
            site: Where to put it.
            activation: What to put there.
            layer_input: The stream that enters the site's layer; without it only `resid_post` skips layers.
        """
        layer = site.layer or 0
        if site.kind == "resid_post":
            self._skip_layers(layer + 1, activation)
            return
        if layer_input is not None:
            self._skip_layers(layer, layer_input)
        self.write(site, activation)

    def _skip_layers(self, n_layers: int, stream: Tensor) -> None:
        for layer in range(n_layers):
            self._modules[Site("resid_post", layer)].skip(stream)
