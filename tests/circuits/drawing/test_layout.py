import pytest
from example_circuits import example_circuit

from circuits.drawing.layout import lay_out
from circuits.graph.circuit import Circuit, MetricValues, Node
from sae.host.sites import Site


def circuit_with(cells, *, n_tokens=4):
    """`cells` maps (layer, position) to a number of features; the first feature of a cell is its strongest."""
    nodes = [
        Node(Site("resid_post", layer), position, feature, "t", 1.0, 0.0, -1.0 / (1 + feature))
        for (layer, position), count in cells.items()
        for feature in range(count)
    ]
    return Circuit("p", ["t"] * n_tokens, "x", "y", "exact", "zero", MetricValues(1.0, 0.0), nodes)


def test_tokens_run_to_the_right_and_sites_upwards():
    layout = lay_out(circuit_with({(0, 1): 1, (0, 3): 1, (2, 1): 1}))
    low, right, high = (layout.points[name] for name in ("resid_post.0/0@1", "resid_post.0/0@3", "resid_post.2/0@1"))
    assert low[0] < right[0]
    assert low[1] == right[1] < high[1]
    assert low[0] == high[0]
    assert [str(row.site) for row in layout.rows] == ["resid_post.0", "resid_post.2"]


def test_nodes_of_a_cell_stand_side_by_side_strongest_first():
    points = lay_out(circuit_with({(0, 1): 3})).points
    across = [points[f"resid_post.0/{feature}@1"][0] for feature in range(3)]
    assert across[1] - across[0] == across[2] - across[1] == 1.0


@pytest.mark.parametrize("circuit", [example_circuit(n_nodes=200), circuit_with({(0, 1): 37, (0, 2): 2, (1, 1): 5})])
def test_no_two_nodes_are_closer_than_a_slot_and_all_are_inside(circuit):
    layout = lay_out(circuit)
    points = list(layout.points.values())
    assert len(points) == len(circuit.nodes)
    for index, (x, y) in enumerate(points):
        assert 0 < x < layout.width
        assert 0 < y < layout.height
        assert all(max(abs(x - other_x), abs(y - other_y)) >= 1 - 1e-9 for other_x, other_y in points[:index])


def test_short_prompts_show_every_token():
    layout = lay_out(circuit_with({(0, 1): 1}, n_tokens=30))
    assert [(column.first, column.last) for column in layout.columns] == [(token, token) for token in range(30)]


def test_long_prompts_fold_runs_without_nodes():
    layout = lay_out(circuit_with({(0, 10): 1, (0, 13): 1}, n_tokens=100))
    assert [(column.first, column.last) for column in layout.columns] == [
        (0, 9), (10, 10), (11, 11), (12, 12), (13, 13), (14, 99),
    ]  # fmt: skip
    assert layout.columns[0].text(["t"] * 100) == "… 10 tokens"


def test_a_circuit_without_nodes_has_only_tokens():
    layout = lay_out(circuit_with({}))
    assert (len(layout.columns), layout.rows, dict(layout.points)) == (4, (), {})
