"""A made-up circuit of any size that looks like a real one: nodes gather at the findings and at the last token."""

import random

import numpy as np

from circuits.graph.circuit import Circuit, Edge, Faithfulness, MetricValues, Node
from sae.host.sites import Site

PROMPT = (
    "<s> A 54 year old woman with COPD presents with fever , productive cough and pleuritic chest pain . "
    "She denies rash . The most likely diagnosis is"
)
FINDINGS = {"COPD": "lung disease", "fever": "fever", "productive": "cough", "cough": "cough, with sputum",
            "pleuritic": "chest pain on breathing", "rash": "rash, denied"}  # fmt: skip
ANSWERS = ("answer: pneumonia", "answer: infection of the lung", "organ system: respiratory", "answer: influenza", None)


def example_circuit(*, n_nodes: int = 30, n_tokens: int = 25, n_sites: int = 4, seed: int = 0) -> Circuit:
    """A valid circuit of `n_nodes` features, an error for every eighth, and about twice as many edges."""
    dice = random.Random(seed)
    tokens = _tokens(n_tokens)
    n_errors = min(n_nodes // 8, n_tokens * n_sites // 2)
    nodes = _nodes(dice, tokens, n_nodes, n_sites, is_error=False) + _nodes(
        dice, tokens, n_errors, n_sites, is_error=True
    )
    return Circuit(
        prompt="".join(tokens[1:]).strip(),
        tokens=tokens,
        token_ids=list(range(100, 100 + n_tokens)),
        target=" pneumonia",
        foil=" influenza",
        method="integrated_gradients",
        baseline="contrast",
        metric=MetricValues(clean=4.2, baseline=-4.45),
        nodes=nodes,
        edges=_edges(dice, nodes),
        faithfulness=Faithfulness(0.86, 0.8, 0.91, n_nodes, 0.02, 0.93),
        site_residuals={node.site: 0.01 for node in nodes},
        provenance={"command": "circuits discover", "config": {"ig_steps": 5}, "seed": seed, "seconds": {"nodes": 0.1}},
    )


def _tokens(n_tokens: int) -> list[str]:
    first, *tail = PROMPT.split()
    words = [first, *[tail[index % len(tail)] for index in range(n_tokens - 1 - len(tail))], *tail]
    chosen = words[:1] + words[len(words) - n_tokens + 1 :] if n_tokens > 1 else words[:1]
    return [chosen[0], *(f" {word}" for word in chosen[1:])]


def _nodes(dice: random.Random, tokens: list[str], n: int, n_sites: int, *, is_error: bool) -> list[Node]:
    last = len(tokens) - 1
    findings = [position for position, token in enumerate(tokens) if token.strip() in FINDINGS] or [last]
    nodes: dict[str, Node] = {}
    while len(nodes) < n:
        at_answer = dice.random() < 0.35
        layer = min(n_sites - 1, int(dice.betavariate(3, 1.3) * n_sites)) if at_answer else dice.randrange(n_sites)
        position = last if at_answer else dice.choice([*findings * 4, *range(1, last + 1)])
        node = _node(dice, tokens, Site("resid_post", layer), position, None if is_error else dice.randrange(1024))
        nodes[node.id] = node
    return list(nodes.values())


def _node(dice: random.Random, tokens: list[str], site: Site, position: int, feature: int | None) -> Node:
    label = FINDINGS.get(tokens[position].strip()) or (dice.choice(ANSWERS) if position == len(tokens) - 1 else None)
    has_label = label is not None and feature is not None
    effect = _float32(dice.lognormvariate(-2.0, 1.1))
    return Node(
        site=site,
        position=position,
        feature=feature,
        token=tokens[position],
        activation=_float32(dice.uniform(0.5, 9.0)),
        baseline_activation=_float32(dice.choice([0.0, dice.uniform(0.0, 2.0)])),
        indirect_effect=-effect if dice.random() < 0.8 else effect,
        label=label if has_label else None,
        label_f1=round(dice.uniform(0.5, 1.0), 2) if has_label else None,
        exact_effect=_float32(-1.1 * effect) if dice.random() < 0.3 else None,
        selection_frequency=_float32(dice.uniform(0.2, 1.0)) if feature is not None else None,
    )


def _edges(dice: random.Random, nodes: list[Node]) -> list[Edge]:
    edges: dict[tuple[str, str], Edge] = {}
    for target in nodes:
        sources = [n for n in nodes if n.site.layer == target.site.layer - 1 and n.position <= target.position]
        for source in dice.sample(sources, min(len(sources), dice.randint(1, 3))):
            share = dice.uniform(0.05, 0.6) * min(abs(source.indirect_effect), abs(target.indirect_effect))
            effect = _float32(share if target.indirect_effect > 0 else -share)
            edges[source.id, target.id] = Edge(source.id, target.id, effect)
    return list(edges.values())


def _float32(value: float) -> float:
    return float(np.float32(value))
