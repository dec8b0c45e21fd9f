"""The host and the SAE that a command looks at."""

from pathlib import Path
from typing import Any

__all__ = ["load_host_and_sae"]


def load_host_and_sae(path: Path, options: dict[str, Any]) -> tuple[Any, Any]:
    """The host and the SAE of a command, on one device.

    Raises:
        ValueError: One of them cannot be loaded, or the SAE is of another host.
    """
    from sae.dictionary.autoencoder import SAE
    from sae.dictionary.host_record import check_recorded_host
    from sae.host.host import HostModel

    sae = SAE.load(path)
    host = HostModel.load(options["model"], device=options["device"], dtype=options["dtype"])
    check_recorded_host(sae.metadata, host, source=str(path))
    return host, sae.to(host.device)
