"""Labels put into a circuit or beside the weights of dictionaries, and taken out again."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from circuits.graph.circuit import Circuit, Node
from circuits.labels.label_files import Labels
from sae.dictionary.autoencoder import SAE
from sae.dictionary.labels import FeatureLabel, load_labels, save_labels
from sae.host.sites import Site

__all__ = ["circuit_labels", "label_circuit", "label_saes"]

BUNDLE_FILE = "manifest.json"


def label_circuit(circuit: Circuit, labels: Labels, *, min_score: float, source: Mapping[str, Any]) -> Circuit:
    """The circuit with its features named.

    A feature that `labels` names is shown with that label where its score is at least `min_score`, and without any
    where it is less; a feature that it does not name keeps what it has.

    Args:
        circuit: Whose nodes are to be named.
        labels: By site and feature.
        min_score: 0 to 1.
        source: Where they are from; added, with `min_score`, to the list `labels` of the circuit's file.
    """
    record = {**source, "min_score": min_score}
    earlier = circuit.provenance.get("labels") or []
    return replace(
        circuit,
        nodes=[_named(node, labels, min_score) for node in circuit.nodes],
        provenance={**circuit.provenance, "labels": [*earlier, record]},
    )


def circuit_labels(circuit: Circuit) -> dict[tuple[Site, int], FeatureLabel]:
    """The labels that a circuit shows; one without a score counts as 0."""
    return {
        (node.site, node.feature): FeatureLabel(node.label, node.label_f1 or 0.0)
        for node in circuit.features
        if node.label is not None and node.feature is not None
    }


def label_saes(directories: Mapping[Site, Path], labels: Labels, *, source: str) -> dict[Site, int]:
    """Write labels beside the weights of dictionaries; other features keep theirs.

    Args:
        directories: Of the dictionaries, by site.
        labels: By site and feature.
        source: Where they are from, for the files.

    Returns:
        How many labels each site got. Everything is checked before the first file is written.

    Raises:
        ValueError: There is no dictionary at a site, it lacks a feature, or it is part of a bundle.
    """
    of_site: dict[Site, dict[int, FeatureLabel]] = defaultdict(dict)
    for (site, feature), label in labels.items():
        of_site[site][feature] = label
    for site, named in of_site.items():
        _check(directories, site, max(named))
    for site, named in of_site.items():
        save_labels(directories[site], {**load_labels(directories[site], min_f1=0.0), **named}, source=source)
    return {site: len(named) for site, named in of_site.items()}


def _named(node: Node, labels: Labels, min_score: float) -> Node:
    label = None if node.feature is None else labels.get((node.site, node.feature))
    if label is None:
        return node
    is_shown = label.f1 >= min_score
    return replace(node, label=label.text if is_shown else None, label_f1=label.f1 if is_shown else None)


def _check(directories: Mapping[Site, Path], site: Site, largest: int) -> None:
    if site not in directories:
        listed = ", ".join(map(str, sorted(directories)))
        raise ValueError(f"there are labels for {site}, but the SAEs are at {listed}; leave those labels out")
    path = directories[site]
    if any((parent / BUNDLE_FILE).is_file() for parent in path.resolve().parents):
        raise ValueError(f"{str(path)!r} is part of a bundle, whose files are checked; copy it and label the copy")
    d_sae = SAE.load(path).d_sae
    if largest >= d_sae:
        raise ValueError(f"feature {largest} is not in the SAE at {site}, expected 0 to {d_sae - 1}")
