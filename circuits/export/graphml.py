"""A circuit as GraphML, for Gephi, Cytoscape, yEd, igraph and networkx. Node ids are the circuit's own."""

import re
from pathlib import Path
from typing import Any

import networkx as nx

from circuits.graph.circuit import Circuit
from sae.written_whole import written_whole

__all__ = ["write_graphml"]

NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_graphml(circuit: Circuit, path: Path | str) -> None:
    """Write the graph of `Circuit.to_networkx` with all its attributes.

    Control characters, which XML cannot hold, are replaced by U+FFFD.

    Raises:
        ValueError: If the file cannot be written.
    """
    graph = circuit.to_networkx()
    for attributes in (graph.graph, *(graph.nodes[name] for name in graph)):
        attributes.update({key: _in_xml(value) for key, value in attributes.items()})
    with written_whole(Path(path)) as part:
        nx.write_graphml(graph, part, encoding="utf-8")


def _in_xml(value: Any) -> Any:
    return NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", value) if isinstance(value, str) else value
