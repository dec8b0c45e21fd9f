import csv
import json
import sys
from dataclasses import replace

import pytest
from example_circuits import example_circuit

from circuits.export.tables import EDGE_COLUMNS, NODE_COLUMNS, write_csv, write_parquet
from circuits.graph.circuit import Circuit, MetricValues, Node
from sae.host.sites import Site

HOSTILE = 'a,"b"\n=1+1;\tc'


def rows(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_column_of_the_json_is_there():
    circuit = example_circuit()
    assert list(NODE_COLUMNS) == list(circuit.nodes[0].to_json())
    assert list(EDGE_COLUMNS) == list(circuit.edges[0].to_json())


def test_csv_holds_what_the_json_does(tmp_path):
    circuit = example_circuit()
    write_csv(circuit, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["edges.csv", "nodes.csv"]
    for name, records in (("nodes", circuit.nodes), ("edges", circuit.edges)):
        expected = [{key: "" if v is None else str(v) for key, v in r.to_json().items()} for r in records]
        assert rows(tmp_path / f"{name}.csv") == expected


def test_any_token_survives_csv(tmp_path):
    node = Node(Site("embed", None), 0, 1, HOSTILE, 1.0, 0.0, -1.0)
    write_csv(Circuit("x", [HOSTILE], " x", " y", "exact", "zero", MetricValues(1.0, 0.0), [node]), tmp_path)
    assert rows(tmp_path / "nodes.csv")[0]["token"] == HOSTILE


def test_parquet_holds_what_the_json_does(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    circuit = example_circuit()
    write_parquet(circuit, tmp_path)
    for name, records in (("nodes", circuit.nodes), ("edges", circuit.edges)):
        table = parquet.read_table(tmp_path / f"{name}.parquet")
        assert table.to_pylist() == [record.to_json() for record in records]
    rest = json.loads(table.schema.metadata[b"circuit"])
    assert rest["faithfulness"]["value"] == 0.86
    assert not {"nodes", "edges"} & rest.keys()


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_an_empty_circuit_gives_empty_tables(write, tmp_path):
    if write is write_parquet:
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    write(replace(example_circuit(n_nodes=0), faithfulness=None), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_without_pyarrow_the_error_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match="needs the pyarrow package; pip install pyarrow"):
        write_parquet(example_circuit(), tmp_path)
    assert not list(tmp_path.iterdir())
