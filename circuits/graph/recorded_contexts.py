"""Contexts of features as a circuit carries them: the entry `contexts` of its provenance.

By site and feature, for example `resid_post.3/117`, a list of records with `tokens`, an activation for each in
`activations`, and the `index` of the token that the context was chosen for.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from circuits.graph.circuit import Circuit
from sae.inspection.reports import Context

__all__ = ["context_records", "recorded_contexts"]

SIGNIFICANT_DIGITS = 4


def context_records(contexts: Iterable[Context]) -> list[dict[str, Any]]:
    """The records of a feature's contexts, activations to four digits."""
    return [
        {
            "tokens": list(context.tokens),
            "activations": [float(f"{value:.{SIGNIFICANT_DIGITS}g}") for value in context.activations],
            "index": context.index,
        }
        for context in contexts
    ]


def recorded_contexts(circuit: Circuit) -> dict[str, tuple[Context, ...]]:
    """The contexts of the circuit's own features, strongest first; none where it carries none.

    Raises:
        ValueError: The entry is not as described above; the feature is named.
    """
    carried = circuit.provenance.get("contexts") or {}
    if not isinstance(carried, Mapping):
        raise ValueError(f"contexts of the circuit is a {type(carried).__name__}, expected an object by feature")
    names = {f"{node.site}/{node.feature}" for node in circuit.features} & carried.keys()
    return {name: _contexts(carried[name], name) for name in sorted(names)}


def _contexts(records: Any, name: str) -> tuple[Context, ...]:
    if not isinstance(records, list) or not all(map(_is_record, records)):
        raise ValueError(f"contexts of {name} must be records of tokens, an activation for each and the index of one")
    return tuple(
        Context(place, tuple(record["tokens"]), tuple(map(float, record["activations"])), record["index"])
        for place, record in enumerate(records)
    )


def _is_record(record: Any) -> bool:
    if not isinstance(record, Mapping):
        return False
    tokens, activations, index = (record.get(key) for key in ("tokens", "activations", "index"))
    return (
        isinstance(tokens, list)
        and isinstance(activations, list)
        and len(tokens) == len(activations)
        and all(isinstance(token, str) for token in tokens)
        and all(type(value) in (int, float) and math.isfinite(value) for value in activations)
        and type(index) is int
        and 0 <= index < len(tokens)
    )
