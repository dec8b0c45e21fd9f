"""The dictionaries that a circuit was found with, as its file names them."""

from pathlib import Path

from circuits.graph.circuit import Circuit
from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site

__all__ = ["load_recorded_sae", "recorded_hash"]


def recorded_hash(circuit: Circuit, site: Site) -> str | None:
    """SHA-256 of the dictionary at a site; None where the circuit does not say."""
    return (_entry(circuit, site) or {}).get("sha256")


def load_recorded_sae(circuit: Circuit, site: Site) -> SAE:
    """The dictionary at a site, from where it was when the circuit was found.

    Raises:
        ValueError: The circuit does not say where it is, it is there no longer, or it is another one.
    """
    entry = _entry(circuit, site)
    path = None if entry is None else entry.get("path")
    if not path or not Path(path).exists():
        raise ValueError(
            f"the SAE at {site} is needed but was not found at {path!r}, where the circuit was discovered with it; "
            "put it back or discover again"
        )
    sae = SAE.load(Path(path))
    if entry is not None and entry.get("sha256") not in (None, sae.content_hash):
        raise ValueError(f"the SAE in {path!r} is not the one that the circuit was discovered with; discover again")
    return sae


def _entry(circuit: Circuit, site: Site) -> dict[str, str] | None:
    return next((sae for sae in circuit.provenance.get("saes") or () if sae.get("site") == str(site)), None)
