import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from example_circuits import example_circuit

from circuits.drawing.palette import SUPPORTS_FOIL, SUPPORTS_TARGET
from circuits.drawing.plot import circuit_figure, draw_circuit
from circuits.drawing.plot_labels import overlap_areas, place_labels
from circuits.drawing.plot_marks import MOST_EDGES, drawn_edges
from circuits.graph.circuit import Circuit, Edge, MetricValues, Node
from sae.host.sites import Site

MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def two_nodes(tokens=("a", " b")):
    site = Site("resid_post", 0)
    nodes = [Node(site, 1, 1, tokens[1], 1.0, 0.0, -4.0), Node(site, 1, 2, tokens[1], 1.0, 0.0, 1.0)]
    return Circuit("a b", tokens, " x", " y", "exact", "zero", MetricValues(2.0, -1.0), nodes)


def spread_out(n_tokens):
    nodes = [Node(Site("resid_post", 0), position, 1, "t", 1.0, 0.0, -1.0) for position in range(n_tokens)]
    return Circuit("t", ["t"] * n_tokens, " x", " y", "exact", "zero", MetricValues(2.0, -1.0), nodes)


def densely_joined(n):
    sites = [Site("resid_post", 0), Site("resid_post", 1)]
    nodes = [Node(site, 0, feature, "t", 1.0, 0.0, -1.0) for site in sites for feature in range(n)]
    edges = [
        Edge(source.id, target.id, 0.001 * (1 + n * i + j))
        for i, source in enumerate(nodes[:n])
        for j, target in enumerate(nodes[n:])
    ]
    return Circuit("t", ["t"], " x", " y", "exact", "zero", MetricValues(2.0, -1.0), nodes, edges)


def tick_labels(figure):
    return [label.get_text() for label in figure.axes[0].get_xticklabels()]


@pytest.mark.parametrize("suffix", MAGIC)
def test_the_suffix_chooses_the_format(suffix, tmp_path):
    path = tmp_path / "new" / f"circuit{suffix}"
    draw_circuit(example_circuit(), path)
    assert path.read_bytes().startswith(MAGIC[suffix])
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"picture .* must end in .png, .svg, .pdf"):
        draw_circuit(example_circuit(), tmp_path / "circuit.gif")


def test_a_failure_leaves_the_earlier_picture(tmp_path, monkeypatch):
    path = tmp_path / "circuit.png"
    path.write_text("earlier")
    monkeypatch.setattr("circuits.drawing.plot.circuit_figure", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        draw_circuit(example_circuit(), path)
    assert [each.name for each in tmp_path.iterdir()] == ["circuit.png"]
    assert path.read_text() == "earlier"


def test_colour_is_the_sign_and_area_the_size():
    features = circuit_figure(two_nodes()).axes[0].collections[1]
    large, small = features.get_sizes()
    assert large == pytest.approx(4 * small)
    colours = [tuple(round(255 * channel) for channel in colour[:3]) for colour in features.get_facecolors()]
    assert colours == [tuple(bytes.fromhex(each[1:])) for each in (SUPPORTS_TARGET, SUPPORTS_FOIL)]


def test_a_ring_is_a_measured_effect_and_a_faint_fill_a_rare_node():
    circuit = two_nodes()
    known = replace(circuit.nodes[0], exact_effect=-4.1, selection_frequency=0.0)
    features, rings = circuit_figure(replace(circuit, nodes=[known, circuit.nodes[1]])).axes[0].collections[1:3]
    assert len(rings.get_offsets()) == 1
    assert rings.get_sizes()[0] > features.get_sizes()[0]
    faint, full = features.get_facecolors()[:, :3]
    assert faint.min() > 0.8
    assert full.min() < 0.1
    assert len(circuit_figure(circuit).axes[0].collections[2].get_offsets()) == 0


def test_axes_name_tokens_and_sites():
    figure = circuit_figure(example_circuit(n_tokens=25))
    assert len(tick_labels(figure)) == 25
    assert tick_labels(figure)[-1] == "is"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [f"resid_post.{n}" for n in range(4)]


@pytest.mark.parametrize("token", ["$x^2$", "$", "肺", "\x1b[2J\n", "_{", "\\frac"])
def test_any_token_can_be_drawn(token, tmp_path):
    path = tmp_path / "circuit.png"
    draw_circuit(replace(two_nodes(("a", token)), target=token), path)
    assert path.read_bytes().startswith(MAGIC[".png"])


@pytest.mark.parametrize("circuit", [two_nodes().subset(0), example_circuit(n_nodes=1, n_tokens=1)])
def test_almost_empty_circuits_are_drawn(circuit, tmp_path):
    path = tmp_path / "circuit.png"
    draw_circuit(circuit, path)
    assert path.read_bytes().startswith(MAGIC[".png"])


def test_an_empty_circuit_says_so():
    texts = [text.get_text() for text in circuit_figure(two_nodes().subset(0)).axes[0].texts]
    assert texts == ["No node passed the selection."]


def test_only_the_strongest_nodes_are_named():
    assert len(circuit_figure(example_circuit(), n_labels=5).axes[0].texts) == 5
    assert len(circuit_figure(two_nodes(), n_labels=5).axes[0].texts) == 2


def test_the_figure_grows_with_the_prompt_up_to_a_limit():
    widths = [circuit_figure(spread_out(n_tokens)).get_figwidth() for n_tokens in (5, 30, 100, 1000)]
    assert widths == sorted(widths)
    assert widths[0] == pytest.approx(9.0)
    assert widths[2] == pytest.approx(20.0)
    assert widths[3] == pytest.approx(60.0)


def test_too_many_edges_are_thinned_and_the_legend_says_so():
    circuit = densely_joined(40)
    effects = sorted((abs(edge.effect) for edge in circuit.edges), reverse=True)
    assert sorted((abs(edge.effect) for edge in drawn_edges(circuit)), reverse=True) == effects[:MOST_EDGES]
    legend = [text.get_text() for text in circuit_figure(circuit, n_labels=0).legends[0].get_texts()]
    assert legend[-1] == f"strongest {MOST_EDGES} of {len(circuit.edges)} edges"


def test_labels_avoid_each_other_and_the_nodes_where_there_is_room():
    anchors = np.array([[100.0, 100.0, 10.0, 10.0], [112.0, 100.0, 10.0, 10.0]])
    sizes = np.array([[60.0, 10.0]] * 2)
    places = place_labels(anchors, sizes, anchors, np.array([200.0, 200.0, 400.0, 400.0]))
    assert overlap_areas(places[:1], places[1:]) == 0
    assert overlap_areas(places, anchors).sum() == 0


def test_labels_stay_in_the_picture():
    anchors = np.array([[395.0, 200.0, 10.0, 10.0]])
    bounds = np.array([200.0, 200.0, 400.0, 400.0])
    place = place_labels(anchors, np.array([[60.0, 10.0]]), anchors, bounds)
    assert overlap_areas(place, bounds[None]) == 600.0


def test_overlap_is_the_common_area():
    boxes = np.array([[0.0, 0.0, 2.0, 2.0], [5.0, 0.0, 2.0, 2.0]])
    assert overlap_areas(boxes, np.array([[1.0, 0.5, 2.0, 2.0]])).tolist() == [[1.5], [0.0]]


def test_drawing_never_loads_pyplot():
    code = "import sys, circuits.drawing.plot; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
