"""A circuit as one HTML page that needs nothing else: no network, no server, no other file.

What the page does is in the scripts of `page/`, one job each. Text from the model or the user is data there and never
markup: it comes as JSON in which no character can end the script element, and the page's own policy lets only its own
script run.

Contexts of its features are those that the circuit carries, see `circuits/graph/recorded_contexts.py`.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

from circuits.drawing.layout import lay_out
from circuits.drawing.summary import quoted
from circuits.graph.circuit import Circuit, Node
from circuits.graph.node import single_precision
from circuits.graph.recorded_contexts import recorded_contexts
from sae.self_contained_page import self_contained_page
from sae.token_text import readable_token, visible_text
from sae.written_whole import written_whole

__all__ = ["page_text", "write_page"]

STYLES = ("colours", "page", "graph", "details", "print")
SCRIPTS = (
    "elements", "words", "graph", "view", "address", "marks", "drawing", "labels", "header", "table", "pointing",
    "details", "grouping", "keyboard", "circuit",
)  # fmt: skip
"""The parts in `page/`, in the order in which they are read: later ones build on earlier ones."""

COORDINATE_DIGITS = 3


def write_page(circuit: Circuit, path: Path | str) -> None:
    """Write the page of `circuit` to `path`.

    Raises:
        ValueError: If the file cannot be written.
    """
    with written_whole(Path(path)) as part:
        part.write_text(page_text(circuit), encoding="utf-8", newline="\n")


def page_text(circuit: Circuit) -> str:
    """The page as text."""
    folder = files("circuits.export") / "page"
    template = (folder / "template.html").read_text(encoding="utf-8")
    style = "".join((folder / f"{name}.css").read_text(encoding="utf-8") for name in STYLES)
    script = "\n".join((folder / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    title = f"{quoted(circuit.target)} against {quoted(circuit.foil)}"
    return self_contained_page(template, title=title, style=style, script=script, data=_page_data(circuit))


def _page_data(circuit: Circuit) -> dict[str, Any]:
    layout = lay_out(circuit)
    document = circuit.to_json()
    return {
        "target": quoted(circuit.target),
        "foil": quoted(circuit.foil),
        "tokens": list(circuit.tokens),
        "method": circuit.method.replace("_", " "),
        "baseline": circuit.baseline,
        "metric": document["metric"],
        "faithfulness": document["faithfulness"],
        "sign_convention": circuit.sign_convention,
        "nodes": [_node_data(node, layout.points[node.id]) for node in circuit.nodes],
        "edges": [_known(edge) for edge in document["edges"]],
        "contexts": _contexts(circuit),
        "columns": [
            {"first": column.first, "x": column.x, "text": column.text(circuit.tokens)} for column in layout.columns
        ],
        "rows": [{"site": str(row.site), "y": row.y, "height": row.height} for row in layout.rows],
        "width": layout.width,
        "height": layout.height,
    }


def _node_data(node: Node, point: tuple[float, float]) -> dict[str, Any]:
    """A node's record; its `measured` is turned round as its contribution is."""
    record = {
        "id": node.id,
        "kind": node.kind,
        "feature": node.feature,
        "position": node.position,
        "token": readable_token(node.token),
        "label": node.label and readable_token(node.label),
        "label_f1": node.label_f1,
        "activation": single_precision(node.activation),
        "baseline_activation": single_precision(node.baseline_activation),
        "contribution": single_precision(node.contribution),
        "measured": None if node.exact_effect is None else 0.0 - single_precision(node.exact_effect),
        "frequency": None if node.selection_frequency is None else single_precision(node.selection_frequency),
        "x": round(point[0], COORDINATE_DIGITS),
        "y": round(point[1], COORDINATE_DIGITS),
    }
    return _known(record)


def _known(record: dict[str, Any]) -> dict[str, Any]:
    """The record without what was not measured, which is most of a large circuit."""
    return {key: value for key, value in record.items() if value is not None}


def _contexts(circuit: Circuit) -> dict[str, list[dict[str, Any]]]:
    """Contexts of the circuit's features, by site and feature; none where the circuit carries none."""
    return {
        name: [
            {
                "tokens": [visible_text(token) for token in context.tokens],
                "activations": [single_precision(value) for value in context.activations],
                "index": context.index,
            }
            for context in contexts
        ]
        for name, contexts in recorded_contexts(circuit).items()
    }
