"""The SAEs of a command: from one directory, a directory of directories, or a sae-lens release."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sae.dictionary.autoencoder import SAE
from sae.dictionary.formats.registry import is_sae_directory, read_site
from sae.dictionary.host_record import check_recorded_host
from sae.dictionary.releases import load_pretrained, release_sites
from sae.dictionary.transcoder import load_dictionary
from sae.host.host import HostModel
from sae.host.sites import Site, match_sites

__all__ = ["load_saes"]

Loader = Callable[[], SAE]


def load_saes(
    location: str | Path, *, host: HostModel, sites: str = "resid_post.*", transcoders: bool = False
) -> dict[Site, SAE]:
    """Load the SAEs at some sites and check that they belong to the host.

    Args:
        location: An SAE directory, a directory of SAE directories, or a sae-lens release, `RELEASE` or
            `RELEASE:SAE_ID`.
        host: The model that they are to be spliced into.
        sites: Comma list of sites with globs, as in `resid_post.*,mlp_out.2`.
        transcoders: Whether a dictionary may be a `Transcoder`; its site is the one that it writes.

    Returns:
        The SAEs by site, in forward order, on the host's device.

    Raises:
        ValueError: Nothing is found at `location`, no SAE is at an asked site, two are at the same site, or
            one does not fit the host or is an unwanted transcoder.
    """
    path = Path(location).expanduser()
    loaders = _directory_loaders(path) if path.exists() else _release_loaders(str(location))
    chosen = {site: loaders[site]() for site in _chosen_sites(loaders, sites, host=host, location=str(location))}
    for site, sae in chosen.items():
        source = str(sae.path or location)
        if sae.input_site is not None and not transcoders:
            raise ValueError(f"{source} is a transcoder from {sae.input_site} to {site}, expected an SAE")
        _check_fits(sae, site, host=host, source=source)
    return {site: sae.to(host.device) for site, sae in chosen.items()}


def _chosen_sites(loaders: Mapping[Site, Loader], patterns: str, *, host: HostModel, location: str) -> list[Site]:
    available = [site for site in host.sites if site in loaders]
    if not available:
        raise ValueError(
            f"the SAEs of {location} are at {_listed(loaders)}, but host {host.name!r} has no such site "
            f"(its last is {host.sites[-1]}); use the host that they were trained on"
        )
    try:
        return match_sites(patterns, available)
    except ValueError:
        raise ValueError(
            f"{location} has no SAE for some of the sites {patterns!r}; it has one at {_listed(loaders)}"
        ) from None


def _check_fits(sae: SAE, site: Site, *, host: HostModel, source: str) -> None:
    if sae.d_model != host.d_model:
        raise ValueError(
            f"the SAE at {site} ({source}) has d_model {sae.d_model} but host {host.name!r} has d_model "
            f"{host.d_model}; use the host that the SAE was trained on"
        )
    check_recorded_host(sae.metadata, host, source=source)


def _directory_loaders(path: Path) -> dict[Site, Loader]:
    """How to load each SAE of a directory, by site; only the configurations are read here."""
    directories = [path] if is_sae_directory(path) else sorted(filter(is_sae_directory, path.glob("*")))
    if not directories:
        raise ValueError(
            f"{path} holds no SAE, expected cfg.json and sae_weights.safetensors (or the files of another "
            "library) in it or one level below"
        )
    sources: dict[Site, Path] = {}
    for directory in directories:
        site = read_site(directory)
        if site is None:
            raise ValueError(
                f"{directory} does not say its site, expected a hook_name such as blocks.3.hook_resid_post"
            )
        if site in sources:
            raise ValueError(f"{sources[site]} and {directory} are both at {site}; name one of them")
        sources[site] = directory
    return {site: partial(load_dictionary, directory) for site, directory in sources.items()}


def _release_loaders(location: str) -> dict[Site, Loader]:
    """How to load each SAE of a sae-lens release, by site."""
    release, _, sae_id = location.partition(":")
    if not sae_id:
        return {site: partial(load_pretrained, release, name) for site, name in release_sites(release).items()}
    sae = load_pretrained(release, sae_id)
    if sae.site is None:
        raise ValueError(
            f"{location} is at hook {sae.metadata.get('hook_name')!r}, expected a site such as resid_post.3"
        )
    return {sae.site: lambda: sae}


def _listed(sites: Mapping[Site, Any]) -> str:
    return ", ".join(str(site) for site in sorted(sites))
