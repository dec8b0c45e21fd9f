import io
from dataclasses import replace

import pytest
from example_circuits import example_circuit
from rich.console import Console

from circuits.drawing.summary import faithfulness_line, signed
from circuits.drawing.table import render_table
from circuits.graph.circuit import Circuit, MetricValues, Node
from sae.host.sites import Site


def printed(circuit, *, width=120, **options):
    console = Console(width=width, file=io.StringIO())
    console.print(render_table(circuit, **options))
    return console.file.getvalue()


def circuit_of(*nodes, tokens=("a", " b")):
    return Circuit("a b", tokens, " x", " y", "exact", "zero", MetricValues(2.0, -1.0), nodes)


def node(feature, effect, **changes):
    return replace(Node(Site("resid_post", 0), 1, feature, " b", 1.0, 0.0, effect), **changes)


def test_rows_come_strongest_first_with_the_sign_of_the_contribution():
    text = printed(circuit_of(node(1, -0.5), node(2, 2.0)))
    assert text.index("resid_post.0/2@1") < text.index("resid_post.0/1@1")
    assert "\N{MINUS SIGN}2.00" in text
    assert "+0.500" in text
    assert "contribution = -indirect_effect, in logits: positive supports “x”, negative supports “y”" in text


def test_errors_are_listed_apart():
    text = printed(circuit_of(node(None, 9.0), node(1, -0.5)))
    head, tail = text.split("SAE errors: scored, but not counted")
    assert "resid_post.0/1@1" in head
    assert "resid_post.0/error@1" in tail
    assert "SAE errors" not in printed(circuit_of(node(1, -0.5)))


def test_the_limit_is_said():
    text = printed(example_circuit(), limit=10)
    assert "20 weaker not shown" in text
    assert text.count("@") == 13


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_the_terminal_and_no_number_is_cut(width):
    circuit = example_circuit(n_nodes=60)
    lines = printed(circuit, width=width, limit=60).splitlines()
    assert max(len(line) for line in lines) <= width
    for each in circuit.nodes:
        row = next(line for line in lines if line.startswith(f"{each.id} "))
        assert signed(each.contribution) in row
        if each.label_f1 is not None:
            assert f"{each.label_f1:.2f}" in row


def test_an_f1_is_shown_only_with_a_label():
    assert "0.75" in printed(circuit_of(node(1, -0.5, label="fever", label_f1=0.75)))
    assert "F1" not in printed(circuit_of(node(1, -0.5)))


def test_how_often_a_node_is_kept_is_shown_where_it_is_known():
    assert " 93% " in printed(circuit_of(node(1, -0.5, selection_frequency=0.934)))
    assert "kept" not in printed(circuit_of(node(1, -0.5)))


def test_markup_and_control_characters_in_tokens_are_text():
    text = printed(circuit_of(node(1, -0.5, token="[red]\x1b[2J"), tokens=("a", "[red]\x1b[2J")))
    assert "[red]\ufffd[2J" in text
    assert "\x1b" not in text


def test_faithfulness_stands_with_its_interval_and_null():
    text = " ".join(printed(example_circuit()).split())
    assert "faithfulness 0.86 [0.80, 0.91] with 30 features; null (random nodes) 0.02" in text
    assert "all features without errors 0.93" in text


def test_what_was_not_measured_is_said():
    assert faithfulness_line(circuit_of()) == "faithfulness not measured"
    measured = replace(example_circuit().faithfulness, low=None, high=None, null=None, share_kept_without_errors=None)
    line = faithfulness_line(replace(example_circuit(), faithfulness=measured))
    assert "0.86 no interval" in line
    assert "null (random nodes) not measured; all features without errors not measured" in line


def test_a_circuit_without_nodes_and_one_without_effects_are_shown():
    assert "0 features, 0 errors, 0 edges" in printed(circuit_of())
    assert "resid_post.0/1@1" in printed(circuit_of(node(1, 0.0)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (4.2, "+4.20"),
        (-0.01234, "\N{MINUS SIGN}0.0123"),
        (1234.5, "+1234"),
        (-2e-7, "\N{MINUS SIGN}2.00e-07"),
        (3e8, "+3.00e+08"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert signed(value) == text
