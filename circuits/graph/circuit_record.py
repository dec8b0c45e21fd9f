"""A circuit's nodes and edges as arrays, and the way back from its two files' contents to the fields of a `Circuit`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from circuits.graph.measurement import Faithfulness, MetricValues
from circuits.graph.node import EDGE_NUMBERS, NODE_NUMBERS, Edge, Node
from sae.host.sites import Site

__all__ = ["RECORD_KEYS", "circuit_arrays", "circuit_fields"]

WORDS = ("prompt", "target", "foil", "method", "baseline")
RECORD_KEYS = frozenset(
    {*WORDS, "schema_version", "tokens", "sign_convention", "metric", "faithfulness", "site_residuals"}
    | {"nodes", "edges", "arrays"}
)
"""The JSON keys that a circuit writes itself; all others are provenance."""


def circuit_arrays(
    nodes: Sequence[Node], edges: Sequence[Edge], *, sites: Sequence[Site], token_ids: Sequence[int]
) -> dict[str, np.ndarray]:
    """The arrays of `circuits/graph/circuit_files.py`, in the order of `nodes` and `edges`.

    Args:
        nodes: All nodes.
        edges: Edges among them.
        sites: What `node_site` counts in.
        token_ids: Ids of the prompt's tokens; empty where unknown.
    """
    index_of = {node.id: index for index, node in enumerate(nodes)}
    columns: dict[str, Sequence[float]] = {
        "token_ids": token_ids,
        "node_site": [sites.index(node.site) for node in nodes],
        "node_position": [node.position for node in nodes],
        "node_feature": [-1 if node.feature is None else node.feature for node in nodes],
        **{f"node_{name}": [_or_nan(getattr(node, name)) for node in nodes] for name in NODE_NUMBERS},
        "edge_source": [index_of[edge.source] for edge in edges],
        "edge_target": [index_of[edge.target] for edge in edges],
        **{f"edge_{name}": [_or_nan(getattr(edge, name)) for edge in edges] for name in EDGE_NUMBERS},
    }
    return {name: np.array(column) for name, column in columns.items()}


def circuit_fields(document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Arguments for `Circuit`: words from the JSON, the numbers of nodes and edges from the arrays.

    Raises:
        ValueError: If an entry is missing, of the wrong kind, or does not fit the others.
    """
    tokens = _texts(document, "tokens")
    sites = [Site.parse(name) for name in _texts(_entry(document, "arrays", dict), "sites")]
    nodes = _nodes(_entry(document, "nodes", list), tokens, sites, arrays)
    residuals = _entry(document, "site_residuals", dict, type(None))
    return {
        **{key: _entry(document, key, str) for key in WORDS},
        "tokens": tokens,
        "token_ids": arrays["token_ids"].tolist() or None,
        "metric": _metric(_entry(document, "metric", dict)),
        "nodes": nodes,
        "edges": _edges(nodes, arrays),
        "faithfulness": _faithfulness(_entry(document, "faithfulness", dict, type(None))),
        "site_residuals": residuals and {Site.parse(name): _number(residuals, name) for name in residuals},
        "provenance": {key: value for key, value in document.items() if key not in RECORD_KEYS},
    }


def _nodes(
    records: list[Any], tokens: Sequence[str], sites: Sequence[Site], arrays: Mapping[str, np.ndarray]
) -> list[Node]:
    names = ("site", "position", "feature", *NODE_NUMBERS)
    nodes = []
    for record, *row in zip(records, *(arrays[f"node_{name}"].tolist() for name in names), strict=True):
        site, position, feature, *numbers = row
        nodes.append(
            Node(
                site=_at(sites, site, "site"),
                position=position,
                feature=None if feature == -1 else feature,
                token=_at(tokens, position, "token"),
                **_numbers(NODE_NUMBERS, numbers),
                label=_entry(record, "label", str, type(None)),
                label_f1=_optional_number(record, "label_f1"),
            )
        )
    return nodes


def _edges(nodes: Sequence[Node], arrays: Mapping[str, np.ndarray]) -> list[Edge]:
    columns = [arrays[f"edge_{name}"].tolist() for name in ("source", "target", *EDGE_NUMBERS)]
    return [
        Edge(_at(nodes, source, "node").id, _at(nodes, target, "node").id, **_numbers(EDGE_NUMBERS, numbers))
        for source, target, *numbers in zip(*columns, strict=True)
    ]


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _numbers(names: Sequence[str], values: Sequence[float]) -> dict[str, Any]:
    """Fields of a node or an edge; NaN is None."""
    return {name: None if math.isnan(value) else value for name, value in zip(names, values, strict=True)}


def _metric(record: Mapping[str, Any]) -> MetricValues:
    return MetricValues(_number(record, "clean"), _number(record, "baseline"), _entry(record, "unit", str))


def _faithfulness(record: Mapping[str, Any] | None) -> Faithfulness | None:
    if record is None:
        return None
    names = ("value", "low", "high", "null", "share_kept_without_errors")
    shares = {name: _optional_number(record, name) for name in names}
    reason = _entry(record, "reason", str, type(None)) if "reason" in record else None
    return Faithfulness(n_nodes=_entry(record, "n_nodes", int), reason=reason, **shares)


def _entry(record: Any, key: str, *kinds: type) -> Any:
    if not isinstance(record, Mapping) or key not in record:
        raise ValueError(f"entry {key!r} is missing")
    if not isinstance(record[key], kinds):
        expected = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
        raise ValueError(f"entry {key!r} is a {type(record[key]).__name__}, expected {expected}")
    return record[key]


def _texts(record: Any, key: str) -> list[str]:
    texts = _entry(record, key, list)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"entry {key!r} must be a list of strings")
    return texts


def _number(record: Any, key: str) -> float:
    return float(_entry(record, key, int, float))


def _optional_number(record: Any, key: str) -> float | None:
    value = _entry(record, key, int, float, type(None))
    return None if value is None else float(value)


def _at(sequence: Sequence[Any], index: int, kind: str) -> Any:
    if not 0 <= index < len(sequence):
        raise ValueError(f"{kind} {index} does not exist, there are {len(sequence)}")
    return sequence[index]
