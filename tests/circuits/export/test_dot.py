import json
import shutil
import subprocess
from dataclasses import replace

import pytest
from example_circuits import example_circuit

from circuits.drawing.palette import SUPPORTS_FOIL, SUPPORTS_TARGET
from circuits.export.dot import dot_text, write_dot
from circuits.graph.circuit import Circuit, Edge, MetricValues, Node
from sae.host.sites import Site

needs_graphviz = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz's dot is not installed")


def small_circuit(token=" fever", label="a fever"):
    low = Node(Site("resid_post", 0), 0, 7, token, 1.0, 0.0, -0.5, label, 0.8)
    high = Node(Site("resid_post", 1), 0, None, token, 1.0, 0.0, 0.25)
    edge = Edge(low.id, high.id, -0.1)
    return Circuit("p", [token], " x", " y", "exact", "zero", MetricValues(1.0, 0.0), [low, high], [edge])


def parsed(circuit):
    run = subprocess.run(
        ["dot", "-Tdot_json"], input=dot_text(circuit), capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stderr == ""
    return json.loads(run.stdout)


def test_nodes_edges_and_ranks_are_written():
    lines = dot_text(small_circuit()).splitlines()
    assert '  subgraph "resid_post.0" {' in lines
    assert (
        '    "resid_post.0/7@0" [label="7 at “fever”\\na fever\\n+0.500", shape="box", '
        f'color="{SUPPORTS_TARGET}"];' in lines
    )
    label = "error at “fever”\\n\N{MINUS SIGN}0.250"
    assert f'    "resid_post.1/error@0" [label="{label}", shape="diamond", color="{SUPPORTS_FOIL}"];' in lines
    assert any(line.startswith('  "resid_post.0/7@0" -> "resid_post.1/error@0" [penwidth="5.00"') for line in lines)
    assert lines[-1] == "}"


@pytest.mark.parametrize("text", ['a"b', "a\\", '\\"', "a\nb", '"];}'])
def test_no_text_ends_a_string_early(text):
    line = next(line for line in dot_text(small_circuit(label=text)).splitlines() if "7@0" in line)
    unescaped = line.replace("\\\\", "").replace('\\"', "")
    assert unescaped.count('"') == 2 + 3 * 2
    assert line.endswith("];")


@needs_graphviz
@pytest.mark.parametrize("circuit", [example_circuit(n_nodes=20), example_circuit(n_nodes=0)], ids=["twenty", "none"])
def test_graphviz_reads_it(circuit):
    graph = parsed(circuit)
    assert [each["name"] for each in graph.get("objects", []) if "nodes" not in each] == [
        node.id for node in sorted(circuit.nodes, key=lambda node: node.site)
    ]
    assert len(graph.get("edges", [])) == len(circuit.edges)


@needs_graphviz
@pytest.mark.parametrize("token", ['a"b', "a\\", "a\\nb", "<b>", "\x1b[2J\n", '"];}'])
def test_graphviz_reads_any_token(token):
    objects = [each for each in parsed(small_circuit(token, label=token))["objects"] if "nodes" not in each]
    assert [each["name"] for each in objects] == ["resid_post.0/7@0", "resid_post.1/error@0"]


def test_the_file_holds_the_text(tmp_path):
    circuit = replace(example_circuit(), target=" 肺炎")
    write_dot(circuit, tmp_path / "circuit.dot")
    assert (tmp_path / "circuit.dot").read_text(encoding="utf-8") == dot_text(circuit)
