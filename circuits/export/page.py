"""A circuit as one HTML page that needs nothing else: no network, no server, no other file.

What the page can do is in `page/circuit.js` and `page/graph.js`. Text from the model or the user is data there and
never markup: it comes as JSON in which no character can end the script element, and the page's own policy lets only
its own script run.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

from circuits.drawing.layout import lay_out
from circuits.drawing.summary import quoted
from circuits.graph.circuit import Circuit, Node
from circuits.graph.node import single_precision
from sae.self_contained_page import self_contained_page
from sae.token_text import readable_token
from sae.written_whole import written_whole

__all__ = ["page_text", "write_page"]


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
    template, style, *scripts = (
        (folder / name).read_text(encoding="utf-8")
        for name in ("template.html", "circuit.css", "graph.js", "circuit.js")
    )
    script = "\n".join(scripts)
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
        "edges": document["edges"],
        "columns": [
            {"first": column.first, "x": column.x, "text": column.text(circuit.tokens)} for column in layout.columns
        ],
        "rows": [{"site": str(row.site), "y": row.y, "height": row.height} for row in layout.rows],
        "width": layout.width,
        "height": layout.height,
    }


def _node_data(node: Node, point: tuple[float, float]) -> dict[str, Any]:
    return {
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
        "x": point[0],
        "y": point[1],
    }
