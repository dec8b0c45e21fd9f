"""A loaded model with its dictionaries and their labels: what further prompts reuse."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from circuits.prompts.references import ReferencePool, bundled_references
from circuits.runs.dictionaries import CoordinateBasis, Dictionary
from sae.bundle import bundled_saes
from sae.dictionary.autoencoder import SAE
from sae.dictionary.collection import load_saes
from sae.dictionary.labels import FeatureLabel, load_labels
from sae.host.host import HostModel
from sae.host.sites import Site, match_sites

__all__ = ["Workbench", "open_workbench"]

DEFAULT_SITES = {"features": "resid_post.*", "residual": "resid_post.*", "neurons": "mlp_neurons.*"}


@dataclass(frozen=True)
class Workbench:
    """A loaded model with its dictionaries: what further prompts reuse."""

    host: HostModel
    dictionaries: Mapping[Site, Dictionary]
    labels: Mapping[Site, Mapping[int, FeatureLabel]]

    @cached_property
    def bundled_references(self) -> ReferencePool:
        """The reference prompts that the model brings, read when first needed.

        Raises:
            ValueError: If it brings none.
        """
        return bundled_references(self.host)


def open_workbench(
    model: str | Path | HostModel = "clinic",
    *,
    saes: str | Path | Mapping[Site, SAE] | None = None,
    sites: str | None = None,
    basis: str = "features",
    device: str = "auto",
    dtype: str = "float32",
) -> Workbench:
    """Load a model and the dictionaries at its sites.

    Args:
        model: A loaded host, a bundled name, a directory or a hub id.
        saes: SAEs by site, a directory of them, or a sae-lens release; those bundled with the model by default.
        sites: Comma list with globs; by default every `resid_post` that has an SAE.
        basis: `features`, `neurons` or `residual`.
        device: Where the model runs.
        dtype: Its precision; effects are reproducible in float32 only.

    Raises:
        ValueError: If something does not exist or does not fit; the message names it.
    """
    host = model if isinstance(model, HostModel) else HostModel.load(str(model), device=device, dtype=dtype)
    patterns = sites or DEFAULT_SITES[basis]
    if basis != "features":
        chosen = match_sites(patterns, host.all_sites)
        bases = {site: CoordinateBasis(site, host.width(site), host.device) for site in chosen}
        return Workbench(host, bases, {site: {} for site in bases})
    found = saes if isinstance(saes, Mapping) else _load(host, saes, patterns)
    return Workbench(host, found, {site: load_labels(sae.path) for site, sae in found.items()})


def _load(host: HostModel, saes: str | Path | None, patterns: str) -> dict[Site, SAE]:
    if saes is not None:
        return load_saes(saes, host=host, sites=patterns, transcoders=True)
    directory = bundled_saes(host.name)
    if directory is None:
        raise ValueError(
            f"model {host.name!r} brings no SAEs; give --saes DIRECTORY or a sae-lens release, "
            "or compare with --basis residual"
        )
    return load_saes(directory, host=host, sites=patterns)
