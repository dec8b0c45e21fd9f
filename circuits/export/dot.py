"""A circuit in the DOT language of Graphviz: `dot -Tsvg circuit.dot -o circuit.svg`."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from circuits.drawing.palette import sign_colour
from circuits.drawing.summary import quoted, signed
from circuits.graph.circuit import Circuit, Edge, Node
from sae.token_text import readable_token
from sae.written_whole import written_whole

__all__ = ["dot_text", "write_dot"]

WIDEST_PEN = 5.0


def write_dot(circuit: Circuit, path: Path | str) -> None:
    """Write `dot_text` to `path`.

    Raises:
        ValueError: If the file cannot be written.
    """
    with written_whole(Path(path)) as part:
        part.write_text(dot_text(circuit), encoding="utf-8", newline="\n")


def dot_text(circuit: Circuit) -> str:
    """The circuit as a directed graph that runs upwards, with one rank for each site."""
    return "\n".join(_lines(circuit)) + "\n"


def _lines(circuit: Circuit) -> Iterator[str]:
    title = f"{quoted(circuit.target)} against {quoted(circuit.foil)}"
    yield "digraph circuit {"
    yield f"  graph {_attributes({'rankdir': 'BT', 'label': title, 'labelloc': 't', 'fontname': 'Helvetica'})}"
    yield f"  node {_attributes({'style': 'filled', 'fontname': 'Helvetica', 'fontsize': '10', 'fillcolor': 'white'})}"
    for site in circuit.sites:
        yield f"  subgraph {_quote(str(site))} {{"
        yield "    rank=same;"
        for node in circuit.nodes:
            if node.site == site:
                yield f"    {_quote(node.id)} {_attributes(_node_attributes(node))}"
        yield "  }"
    strongest = max((abs(edge.effect) for edge in circuit.edges), default=0.0) or 1.0
    for edge in circuit.edges:
        yield f"  {_quote(edge.source)} -> {_quote(edge.target)} {_attributes(_edge_attributes(edge, strongest))}"
    yield "}"


def _node_attributes(node: Node) -> Mapping[str, str]:
    name = "error" if node.feature is None else str(node.feature)
    label = "" if node.label is None else f"\n{readable_token(node.label, length=30)}"
    return {
        "label": f"{name} at {quoted(node.token)}{label}\n{signed(node.contribution)}",
        "shape": "box" if node.kind == "feature" else "diamond",
        "color": sign_colour(node.contribution),
    }


def _edge_attributes(edge: Edge, strongest: float) -> Mapping[str, str]:
    return {
        "penwidth": f"{max(0.3, WIDEST_PEN * abs(edge.effect) / strongest):.2f}",
        "color": sign_colour(edge.contribution),
        "tooltip": signed(edge.contribution),
    }


def _attributes(values: Mapping[str, str]) -> str:
    return "[" + ", ".join(f"{name}={_quote(value)}" for name, value in values.items()) + "];"


def _quote(text: str) -> str:
    r"""A DOT string: quotation marks and backslashes are data, line breaks become `\n`."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
