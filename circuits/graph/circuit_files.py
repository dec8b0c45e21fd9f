"""The two files of a circuit: `circuit.json`, which a person can read, and `circuit.safetensors`, its arrays.

The JSON names the arrays' file and its SHA-256, so that halves of two circuits are never taken for one. All arrays are
one-dimensional; their names and types stand in `ARRAY_TYPES`.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from sae.written_whole import written_whole

__all__ = ["ADDED_ARRAYS", "ARRAY_TYPES", "read_circuit_files", "write_circuit_files"]

JSON_FILE = "circuit.json"
ARRAYS_FILE = "circuit.safetensors"
LARGEST_FILE_BYTES = 1 << 30

ARRAY_TYPES = {
    "token_ids": np.int32,
    "node_site": np.int32,
    "node_position": np.int32,
    "node_feature": np.int32,
    "node_activation": np.float32,
    "node_baseline_activation": np.float32,
    "node_indirect_effect": np.float32,
    "edge_source": np.int32,
    "edge_target": np.int32,
    "edge_effect": np.float32,
}
"""`token_ids` is empty where unknown; `node_site` counts in the JSON's `arrays.sites`; a `node_feature` of -1 is an
error; edges count in the nodes."""

ADDED_ARRAYS = {
    "node_exact_effect": "node_feature",
    "node_selection_frequency": "node_feature",
    "edge_exact_effect": "edge_source",
    "edge_value_effect": "edge_source",
    "edge_query_key_effect": "edge_source",
}
"""Float32 arrays that schema 2 added, each as long as the named one; NaN where there is no number, and all NaN in a
file of schema 1."""


def write_circuit_files(
    directory: Path, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray], *, sites: list[str]
) -> None:
    """Write both files, each under a temporary name first; equal input gives equal bytes.

    Args:
        directory: Made where missing; files of an earlier circuit in it are replaced.
        document: The circuit's JSON without `arrays`.
        arrays: One array for each name in `ARRAY_TYPES` and `ADDED_ARRAYS`.
        sites: Names that `node_site` counts in.

    Raises:
        ValueError: If the directory cannot be written.
    """
    types = {**ARRAY_TYPES, **dict.fromkeys(ADDED_ARRAYS, np.float32)}
    data = save({name: np.asarray(arrays[name], dtype=dtype) for name, dtype in types.items()})
    entry = {"file": ARRAYS_FILE, "sha256": hashlib.sha256(data).hexdigest(), "sites": sites}
    text = json.dumps({**document, "arrays": entry}, indent=2, ensure_ascii=False, allow_nan=False)
    with (
        written_whole(Path(directory) / JSON_FILE) as json_part,
        written_whole(Path(directory) / ARRAYS_FILE) as arrays_part,
    ):
        arrays_part.write_bytes(data)
        json_part.write_text(text + "\n", encoding="utf-8")


def read_circuit_files(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read both files and check that they are whole and belong together.

    Args:
        path: A circuit's directory, or its `circuit.json`.

    Returns:
        The JSON document and the arrays, with the names, types and dimensions of `ARRAY_TYPES` and `ADDED_ARRAYS`.

    Raises:
        ValueError: If a file is missing, truncated, altered or of another kind.
    """
    path = Path(path)
    json_path = path / JSON_FILE if path.is_dir() else path
    document = _parse_json(json_path, _read(json_path))
    entry = document.get("arrays")
    file, digest = (entry.get("file"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
    if not isinstance(file, str) or not isinstance(digest, str) or Path(file).name != file:
        raise ValueError(f"{str(json_path)!r} names no arrays file, expected the circuit.json of `circuits discover`")
    arrays_path = json_path.parent / file
    data = _read(arrays_path)
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError(f"{str(arrays_path)!r} does not belong to {str(json_path)!r} or was altered: SHA-256 differs")
    return document, _parse_arrays(arrays_path, data)


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE_BYTES:
            raise ValueError(f"{str(path)!r} has {size} bytes, more than a circuit can have")
        return path.read_bytes()
    except OSError as error:
        reason = f"({error.strerror or error}); give a directory with {JSON_FILE}"
        raise ValueError(f"circuit {str(path)!r} cannot be read {reason}") from error


def _parse_json(path: Path, data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data.decode("utf-8"), parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{str(path)!r} is not a whole JSON file ({error}); write the circuit again") from error
    if not isinstance(document, dict):
        raise ValueError(f"{str(path)!r} holds a JSON {type(document).__name__}, expected a circuit's object")
    return document


def _reject_constant(name: str) -> float:
    raise ValueError(f"{name} is not a finite number")


def _parse_arrays(path: Path, data: bytes) -> dict[str, np.ndarray]:
    try:
        arrays = load(data)
    except (SafetensorError, struct.error, ValueError, KeyError) as error:
        raise ValueError(f"{str(path)!r} is not a safetensors file ({error})") from error
    found = {name: (array.dtype, array.ndim) for name, array in arrays.items()}
    first = {name: (np.dtype(dtype), 1) for name, dtype in ARRAY_TYPES.items()}
    added = {name: (np.dtype(np.float32), 1) for name in ADDED_ARRAYS}
    if found not in (first, {**first, **added}):
        raise ValueError(f"{str(path)!r} must hold the one-dimensional arrays {', '.join((*first, *added))}")
    absent = {name: like for name, like in ADDED_ARRAYS.items() if name not in arrays}
    return {**arrays, **{name: np.full(len(arrays[like]), np.nan, np.float32) for name, like in absent.items()}}
