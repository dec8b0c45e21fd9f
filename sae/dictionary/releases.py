"""Pretrained SAEs of the sae-lens catalogue or of any Hugging Face repository in its layout."""

import warnings
from typing import Any

from sae.dictionary.autoencoder import SAE
from sae.dictionary.formats.saelens import from_saelens
from sae.dictionary.formats.stored import StoredSAE
from sae.dictionary.hook_names import site_from_hook_name
from sae.dictionary.transcoder import dictionary_of
from sae.host.sites import Site

__all__ = ["load_pretrained", "read_pretrained", "release_sites"]


def release_sites(release: str) -> dict[Site, str]:
    """The SAE id at each site of a catalogued release whose ids are hook names.

    Raises:
        ValueError: There is no such release, or its ids do not name one site each.
    """
    ids = _saes_of(release)
    by_site = {site: sae_id for sae_id in ids if (site := site_from_hook_name(sae_id))}
    if len(by_site) != len(ids):
        examples = ", ".join(f"{release}:{sae_id}" for sae_id in ids[:3])
        raise ValueError(f"release {release!r} has {len(ids)} SAEs, not one a site; name one, as in {examples}")
    return by_site


def load_pretrained(release: str, sae_id: str) -> SAE:
    """One SAE or transcoder of a release, as `read_pretrained` reads it.

    Raises:
        ValueError: As there, or it is a transcoder that reads what only a host's norm turns into a site.
    """
    return dictionary_of(read_pretrained(release, sae_id))


def read_pretrained(release: str, sae_id: str) -> StoredSAE:
    """Download one SAE or transcoder of a release, or find it in the cache.

    Raises:
        ValueError: It cannot be had, or is of a kind that is neither JumpReLU, ReLU nor TopK.
    """
    import sae_lens

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = sae_lens.SAE.from_pretrained(release, sae_id)
    except Exception as error:
        raise ValueError(f"cannot load the SAE {release}:{sae_id}: {_first_line(error)}") from error
    return from_saelens(theirs.cfg.to_dict(), theirs.state_dict(), source=f"{release}:{sae_id}")


def _saes_of(release: str) -> list[str]:
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    catalogue: Any = get_pretrained_saes_directory()
    if release not in catalogue:
        raise ValueError(
            f"there is no SAE directory and no sae-lens release {release!r}; "
            "give a directory, a release, or OWNER/REPOSITORY:FOLDER on Hugging Face"
        )
    return list(catalogue[release].saes_map)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
