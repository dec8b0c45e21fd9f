"""The labelled documents of a command, and the SAE and host that it looks at them with."""

from pathlib import Path
from typing import Any

import click

__all__ = ["check_source", "labelled", "loaded"]


def check_source(corpus: str | None, labels: Path | None) -> None:
    """Exactly one of the two says where documents come from.

    Raises:
        click.UsageError: None or both of them were given.
    """
    if (corpus is None) == (labels is None):
        raise click.UsageError("give either --corpus or --labels")


def labelled(corpus: str | None, labels: Path | None, n: int, seed: int, *, kind: str) -> list[Any]:
    """Documents of a label file or of a corpus that knows what its texts say.

    Raises:
        ValueError: The file is damaged, or the corpus knows nothing of that kind.
    """
    from sae.labelled_documents import corpus_documents, read_label_file

    if labels is not None:
        return read_label_file(labels)
    assert corpus is not None
    found = corpus_documents(corpus, n, seed=seed, kind=kind)
    if not found:
        raise ValueError(
            f"corpus {corpus!r} does not say what its texts express, expected one that does, such as "
            "clinic:clinical; or give --labels with a file of {text, concepts: [{start, end, concept}]} lines"
        )
    return found


def loaded(path: Path, options: dict[str, Any]) -> tuple[Any, Any]:
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
