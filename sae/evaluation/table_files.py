"""An evaluation table on disk: one safetensors file."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sae.evaluation.document_statistics import DictionaryStatistics, EvaluationTable, TextStatistics
from sae.written_whole import written_whole

__all__ = ["load_table", "save_table"]

VERSION = 1
TEXT = "text"
Part = TypeVar("Part", TextStatistics, DictionaryStatistics)


def save_table(table: EvaluationTable, path: Path) -> None:
    """Write a table; tensors are called `text.NAME` and `DICTIONARY.NAME`."""
    parts: dict[str, Any] = {TEXT: table.text, **{f"dictionary.{name}": d for name, d in table.dictionaries.items()}}
    tensors: dict[str, Tensor] = {
        f"{name}.{field.name}": getattr(part, field.name).contiguous()
        for name, part in parts.items()
        for field in fields(part)
    }
    header = {"version": VERSION, "classes": table.classes, "digest": table.digest, "names": list(table.dictionaries)}
    with written_whole(path) as part_path:
        save_file(tensors, part_path, metadata={"evaluation": json.dumps(header)})


def load_table(path: Path) -> EvaluationTable:
    """Read a table.

    Raises:
        ValueError: The file is missing or damaged, or is none of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["evaluation"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        if header["version"] != VERSION:
            raise ValueError(f"{path} has version {header['version']}, expected {VERSION}; evaluate again")
        found = {name: _part(DictionaryStatistics, f"dictionary.{name}", tensors) for name in header["names"]}
        return EvaluationTable(tuple(header["classes"]), header["digest"], _part(TextStatistics, TEXT, tensors), found)
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no evaluation table ({error}), expected what `sae evaluate` wrote") from error


def _part(kind: type[Part], name: str, tensors: dict[str, Tensor]) -> Part:
    return kind(**{field.name: tensors[f"{name}.{field.name}"] for field in fields(kind)})
