"""Two profiles of the same graph: a directory for circuit-tracer's local viewer, a file for Neuronpedia.

Serve the directory with `circuit-tracer start-server --graph_file_dir DIR`. Neuronpedia takes graphs of models that
it knows by the name in `scan`, up to 100 MB.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from circuits.export.viewer_features import feature_file
from circuits.export.viewer_graph import graph_slug, viewer_graph
from circuits.export.viewer_rows import cantor_pair, viewer_rows
from circuits.graph.circuit import Circuit
from circuits.graph.recorded_contexts import recorded_contexts
from sae.host.sites import Site
from sae.inspection.reports import FeatureReport
from sae.written_whole import written_whole

__all__ = ["write_neuronpedia", "write_viewer"]

INDEX_FILE = "graph-metadata.json"
LARGEST_UPLOAD_BYTES = 100_000_000
NEURONPEDIA_NAME = re.compile(r"[a-zA-Z0-9_.-]+")


def write_viewer(
    circuit: Circuit, directory: Path, *, reports: Mapping[tuple[Site, int], FeatureReport] | None = None
) -> None:
    """Write the graph, `graph-metadata.json`, and for each feature a file in a folder named for the graph.

    Args:
        circuit: With at least one node.
        directory: Of the viewer; made where missing.
        reports: What is known of features, by site and index; files of others hold the contexts that the circuit
            carries, if any.

    Raises:
        ValueError: The circuit has no node, two of its sites need the same row, or the directory cannot be written.
    """
    slug = graph_slug(circuit)
    # the local viewer serves this directory as graph_data and reads features from a path that starts with ./
    graph = viewer_graph(circuit, slug=slug, scan=f"./graph_data/{slug}")
    rows = viewer_rows(circuit.sites)
    carried = recorded_contexts(circuit)
    for site, feature in sorted({(node.site, node.feature) for node in circuit.features}, key=str):
        assert feature is not None
        report, contexts = (reports or {}).get((site, feature)), carried.get(f"{site}/{feature}", ())
        content = feature_file(site, feature, report, contexts)
        _write_json(directory / slug / f"{cantor_pair(rows[site], feature)}.json", content)
    _write_json(directory / f"{slug}.json", graph)
    _write_json(directory / INDEX_FILE, {"graphs": [graph["metadata"]]})


def write_neuronpedia(circuit: Circuit, path: Path, *, scan: str | None = None) -> None:
    """Write the graph as one file to upload.

    Args:
        circuit: With at least one node.
        path: Of the file.
        scan: Name of the model at Neuronpedia; that of the circuit's own model by default.

    Raises:
        ValueError: A name that Neuronpedia refuses, too large a graph, or what `write_viewer` refuses.
    """
    recorded = (circuit.provenance.get("model") or {}).get("name")
    name = scan or recorded
    if not isinstance(name, str) or not NEURONPEDIA_NAME.fullmatch(name):
        raise ValueError(
            f"Neuronpedia takes names of models of letters, digits, '_', '.' and '-', got {name!r}; give --scan NAME"
        )
    _write_json(path, viewer_graph(circuit, slug=graph_slug(circuit), scan=name), most=LARGEST_UPLOAD_BYTES)


def _write_json(path: Path, content: Any, *, most: int | None = None) -> None:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    if most is not None and len(text.encode()) > most:
        raise ValueError(
            f"the graph has {len(text.encode())} bytes, Neuronpedia takes {most}; export a smaller circuit"
        )
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")
