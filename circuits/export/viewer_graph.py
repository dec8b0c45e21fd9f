"""A circuit as the attribution graph that circuit-tracer's local viewer and Neuronpedia draw.

What those programs ask for and a circuit does not have, and what stands there instead:

- One logit node for the target and one for the foil, numbered 0 and 1 because a circuit keeps no vocabulary ids. All
  effects are on m = score(target) - score(foil), so that links end at the target's node only; then the viewer's own
  difference of two logits is right. The probability shown is that of one against the other, 1 / (1 + exp(-m)).
- The link from a node to the target's logit is what is left of its contribution after its edges to other nodes.
- A token has links into nodes at `embed` alone: which token another node came from is not known.
- `influence` is the share of all absolute contributions that a node and those stronger than it have together.

Layout of the JSON: Neuronpedia's attribution-graph schema; `Model` in `circuit_tracer/frontend/graph_models.py`.
"""

import hashlib
import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from circuits.drawing.summary import faithfulness_line, metric_line, quoted
from circuits.export.viewer_rows import cantor_pair, viewer_rows
from circuits.graph.circuit import Circuit, Node, strongest
from circuits.graph.node import single_precision
from sae.command_line import versions
from sae.host.sites import Site
from sae.token_text import readable_token

__all__ = ["graph_slug", "viewer_graph"]

CONVENTIONS = {
    "influence": "share of all absolute contributions that this node and those stronger than it have together",
    "logit": "p is the probability of one answer against the other, 1 / (1 + exp(-m)); the ids of answers are no "
    "vocabulary ids; links of weight w end at the target and are in units of m",
    "rest": "link to the target's logit: the node's contribution less that of its edges to other nodes",
}
NAMES_OF_FILES = ("reference", "pairs")
ANSWERS = (("target", 0), ("foil", 1))


def graph_slug(circuit: Circuit) -> str:
    """A name for files and addresses, of ASCII letters, digits and hyphens; equal circuits have equal ones."""
    words = re.sub(r"[^a-z0-9]+", "-", f"{circuit.target} against {circuit.foil}".lower()).strip("-")
    content = json.dumps([circuit.prompt, [node.to_json() for node in circuit.nodes]], sort_keys=True)
    return f"{words[:60].strip('-')}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def viewer_graph(circuit: Circuit, *, slug: str, scan: str) -> dict[str, Any]:
    """The graph as JSON types.

    Args:
        circuit: With at least one node.
        slug: Name of the graph.
        scan: Where the viewer finds the features: a path or the name of a model.

    Raises:
        ValueError: The circuit has no node, or two of its sites need the same row.
    """
    rows = viewer_rows(circuit.sites)
    ids = {node.id: _node_name(node, rows) for node in circuit.nodes}
    influence = _influence(circuit)
    nodes = [_node(node, rows, ids, influence) for node in (*circuit.features, *circuit.errors)]
    tokens = [_token(circuit, position) for position in range(len(circuit.tokens))]
    answers = [_answer(circuit, which, index, row=max(rows.values()) + 1) for which, index in ANSWERS]
    return {
        "metadata": _metadata(circuit, rows, slug=slug, scan=scan),
        "qParams": {"pinnedIds": [], "supernodes": [], "linkType": "both", "clickedId": "", "sg_pos": ""},
        "nodes": [*nodes, *tokens, *answers],
        "links": [
            *_token_links(circuit, ids, tokens),
            *_links(circuit, ids),
            *_answer_links(circuit, ids, answers[0]["node_id"]),
        ],
    }


def _metadata(circuit: Circuit, rows: Mapping[Site, int], *, slug: str, scan: str) -> dict[str, Any]:
    document = circuit.to_json()
    kept = ("method", "baseline", "sign_convention", "metric", "faithfulness", "seed", "versions")
    # paths stay behind: the file is made to be given away
    saes = [{key: sae[key] for key in ("site", "sha256") if key in sae} for sae in document.get("saes") or []]
    title = f"{quoted(circuit.target)} against {quoted(circuit.foil)}"
    return {
        "slug": slug,
        "scan": scan,
        "transcoder_list": [],
        "prompt_tokens": list(circuit.tokens),
        "prompt": circuit.prompt,
        "node_threshold": 1.0,
        "schema_version": 1,
        "title_prefix": title,
        "info": {
            "description": f"{title}: {metric_line(circuit)}; {faithfulness_line(circuit)}",
            "generator": {"name": "domain-circuits", "version": versions()["domain-circuits"]},
        },
        "generation_settings": {k: v for k, v in (document.get("config") or {}).items() if k not in NAMES_OF_FILES},
        **{key: document[key] for key in kept if key in document},
        "model": (document.get("model") or {}).get("name"),
        "saes": saes,
        "rows": {str(row): str(site) for site, row in rows.items()},
        "conventions": CONVENTIONS,
    }


def _influence(circuit: Circuit) -> dict[str, float]:
    ranked = strongest(circuit.nodes)
    sums = list(accumulate(abs(node.contribution) for node in ranked))
    total = sums[-1] or 1.0
    return {node.id: single_precision(part / total) for node, part in zip(ranked, sums, strict=True)}


def _node_name(node: Node, rows: Mapping[Site, int]) -> str:
    row = rows[node.site]
    return f"err_{row}_{node.position}" if node.feature is None else f"{row}_{node.feature}_{node.position}"


def _node(
    node: Node, rows: Mapping[Site, int], ids: Mapping[str, str], influence: Mapping[str, float]
) -> dict[str, Any]:
    row, record = rows[node.site], node.to_json()
    is_error = node.feature is None
    own = ("indirect_effect", "exact_effect", "contribution", "selection_frequency", "baseline_activation", "label_f1")
    return {
        **_common(ids[node.id], node.position),
        "feature": -1 if node.feature is None else cantor_pair(row, node.feature),
        "layer": str(row),
        "feature_type": "mlp reconstruction error" if is_error else "cross layer transcoder",
        "jsNodeId": f"{row}_err-{node.position}" if is_error else f"{row}_{node.feature}-{node.position}",
        "clerp": f"error of {node.site}" if is_error else readable_token(node.label) if node.label else "",
        "influence": influence[node.id],
        "activation": record["activation"],
        "circuit_id": node.id,
        "site": str(node.site),
        **{key: record[key] for key in own},
    }


def _token(circuit: Circuit, position: int) -> dict[str, Any]:
    token_id = position if circuit.token_ids is None else circuit.token_ids[position]
    return {
        **_common(f"E_{token_id}_{position}", position),
        "feature": position,
        "layer": "E",
        "feature_type": "embedding",
        "jsNodeId": f"E_{token_id}-{position}",
        "clerp": "",
    }


def _answer(circuit: Circuit, which: str, index: int, *, row: int) -> dict[str, Any]:
    position = len(circuit.tokens) - 1
    metric = circuit.metric.clean if which == "target" else -circuit.metric.clean
    probability = (1 + math.tanh(metric / 2)) / 2
    # viewers cut the text at quotation marks and at "(p="
    text = readable_token(getattr(circuit, which)).replace('"', "'").replace("(p=", "(p =")
    return {
        **_common(f"{row}_{index}_{position}", position),
        "feature": index,
        "layer": str(row),
        "feature_type": "logit",
        "jsNodeId": f"L_{index}-{position}",
        "clerp": f'Output "{text}" (p={probability:.3f})',
        "token_prob": probability,
        "is_target_logit": which == "target",
    }


def _common(name: str, position: int) -> dict[str, Any]:
    defaults = {"token_prob": 0.0, "is_target_logit": False, "run_idx": 0, "reverse_ctx_idx": 0}
    return {"node_id": name, "ctx_idx": position, **defaults, "influence": None, "activation": None}


def _token_links(circuit: Circuit, ids: Mapping[str, str], tokens: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        _link(tokens[node.position]["node_id"], ids[node.id], node.contribution)
        for node in circuit.nodes
        if node.site.layer is None
    ]


def _links(circuit: Circuit, ids: Mapping[str, str]) -> list[dict[str, Any]]:
    own = ("exact_effect", "value_effect", "query_key_effect")
    return [
        {
            **_link(ids[edge.source], ids[edge.target], edge.contribution),
            **{key: value for key, value in edge.to_json().items() if key in own and value is not None},
        }
        for edge in circuit.edges
    ]


def _answer_links(circuit: Circuit, ids: Mapping[str, str], answer: str) -> list[dict[str, Any]]:
    passed_on: dict[str, float] = defaultdict(float)
    for edge in circuit.edges:
        passed_on[edge.source] += edge.contribution
    rests = {node.id: node.contribution - passed_on[node.id] for node in circuit.nodes}
    return [{**_link(ids[name], answer, rest), "kind": "rest"} for name, rest in rests.items() if rest]


def _link(source: str, target: str, weight: float) -> dict[str, Any]:
    return {"source": source, "target": target, "weight": single_precision(weight)}
