"""A circuit as two tables, of its nodes and of its edges: CSV for spreadsheets, Parquet for data frames.

Columns are the keys of `circuit.json`. An empty cell, in Parquet a null, is a number or a text that there is not.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from circuits.graph.circuit import Circuit
from circuits.graph.node import EDGE_NUMBERS
from sae.written_whole import written_whole

__all__ = ["write_csv", "write_parquet"]

NODE_COLUMNS = {
    "id": "string",
    "site": "string",
    "position": "int64",
    "token": "string",
    "kind": "string",
    "feature": "int64",
    "activation": "float64",
    "baseline_activation": "float64",
    "indirect_effect": "float64",
    "contribution": "float64",
    "label": "string",
    "label_f1": "float64",
    "exact_effect": "float64",
    "selection_frequency": "float64",
}
EDGE_COLUMNS = {"source": "string", "target": "string", **dict.fromkeys(EDGE_NUMBERS, "float64")}
TABLES = {"nodes": NODE_COLUMNS, "edges": EDGE_COLUMNS}


def write_csv(circuit: Circuit, directory: Path) -> None:
    """Write `nodes.csv` and `edges.csv`: UTF-8, comma, a line of names first.

    Raises:
        ValueError: If the directory cannot be written.
    """
    for name, columns in TABLES.items():
        with (
            written_whole(Path(directory) / f"{name}.csv") as part,
            part.open("w", encoding="utf-8", newline="") as stream,
        ):
            writer = csv.DictWriter(stream, list(columns), extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(_records(circuit, name))


def write_parquet(circuit: Circuit, directory: Path) -> None:
    """Write `nodes.parquet` and `edges.parquet`; the rest of the circuit's JSON is their metadata, key `circuit`.

    Raises:
        ValueError: If the directory cannot be written, or pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ValueError("--format parquet needs the pyarrow package; pip install pyarrow") from None
    rest = {key: value for key, value in circuit.to_json().items() if key not in TABLES}
    for name, columns in TABLES.items():
        fields = [(column, getattr(pyarrow, kind)()) for column, kind in columns.items()]
        schema = pyarrow.schema(fields, metadata={"circuit": json.dumps(rest)})
        with written_whole(Path(directory) / f"{name}.parquet") as part:
            table = pyarrow.Table.from_pylist(list(_records(circuit, name)), schema=schema)
            pyarrow.parquet.write_table(table, part)


def _records(circuit: Circuit, table: str) -> Sequence[Mapping[str, Any]]:
    return [row.to_json() for row in (circuit.nodes if table == "nodes" else circuit.edges)]
