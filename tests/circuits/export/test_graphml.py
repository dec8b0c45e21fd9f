from dataclasses import replace

import networkx as nx
import pytest
from example_circuits import example_circuit

from circuits.export.graphml import write_graphml
from circuits.graph.circuit import Circuit, MetricValues, Node
from sae.host.sites import Site


def test_all_attributes_survive_a_round_trip(tmp_path):
    circuit = example_circuit()
    write_graphml(circuit, tmp_path / "circuit.graphml")
    read, written = nx.read_graphml(tmp_path / "circuit.graphml"), circuit.to_networkx()
    assert dict(read.nodes) == dict(written.nodes)
    assert dict(read.edges) == dict(written.edges)
    assert {key: value for key, value in read.graph.items() if not key.endswith("_default")} == written.graph
    assert [path.name for path in tmp_path.iterdir()] == ["circuit.graphml"]


def test_node_ids_are_the_circuits(tmp_path):
    circuit = example_circuit()
    write_graphml(circuit, tmp_path / "circuit.graphml")
    assert list(nx.read_graphml(tmp_path / "circuit.graphml")) == [node.id for node in circuit.nodes]


@pytest.mark.parametrize(
    ("token", "read"), [("<&\"'>", "<&\"'>"), ("]]>", "]]>"), ("\x00\x1b[2J", "\ufffd\ufffd[2J"), (" 肺", " 肺")]
)
def test_any_token_gives_valid_xml(token, read, tmp_path):
    node = Node(Site("embed", None), 0, 1, token, 1.0, 0.0, -1.0)
    circuit = Circuit(token, [token], " x", " y", "exact", "zero", MetricValues(1.0, 0.0), [node])
    write_graphml(circuit, tmp_path / "circuit.graphml")
    assert nx.read_graphml(tmp_path / "circuit.graphml").nodes["embed/1@0"]["token"] == read


def test_an_empty_circuit_is_an_empty_graph(tmp_path):
    write_graphml(replace(example_circuit(n_nodes=0), faithfulness=None), tmp_path / "circuit.graphml")
    assert len(nx.read_graphml(tmp_path / "circuit.graphml")) == 0


def test_a_directory_is_no_file(tmp_path):
    with pytest.raises(ValueError, match=r"output .* is a directory, expected a file name"):
        write_graphml(example_circuit(), tmp_path)
