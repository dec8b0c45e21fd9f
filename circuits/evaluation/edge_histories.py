"""What activations in edge-masked runs depend on, so that each of them is computed once.

A node's activation depends on the node and on the activations of the sources of its edges, back to the first site: its
history. Circuits that agree on the history of a node share its activation, whatever else they keep, and a node from
which no edge leads on to the answer is never asked for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from circuits.effects.node_table import ERROR
from circuits.runs.node_set import NodeSet
from circuits.runs.runs import Runs
from sae.host.sites import Site

__all__ = ["ALL_EDGES", "EdgeSet", "Histories", "History", "NodeKey", "only_last_token_is_seen"]

ALL_EDGES = None
"""Stands for every edge among the nodes of a set."""

NodeKey = tuple[Site, int, int]
"""Site, position and feature of a node."""


@dataclass(frozen=True)
class EdgeSet:
    """Feature nodes and edges among them; edges with an error are none of a set, since errors take their baseline."""

    nodes: NodeSet
    edges: Sequence[tuple[NodeKey, NodeKey]] | None
    """Source and target of each, or `ALL_EDGES`."""


@dataclass(frozen=True)
class History:
    """A node, and where its activation comes from."""

    node: NodeKey
    sources: tuple[int, ...]
    """The histories of the sources of its edges, as indices into all, in rising order."""


class Histories:
    """All histories of some circuits, each once; those that a history builds on come before it."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self.parents = {site: runs.host.parents(runs.input_sites[site], runs.sites) for site in runs.sites}
        self.all: list[History] = []
        self._index: dict[History, int] = {}

    def answered(self, edge_set: EdgeSet) -> tuple[int, ...]:
        """The histories that the answer sees of a circuit, as indices in rising order.

        Raises:
            ValueError: An edge has an end outside its set's nodes, is one of an error, or joins sites of which one is
                not a parent of the other.
        """
        nodes = _keys_of(edge_set.nodes)
        incoming = self._incoming(edge_set, nodes)
        known: dict[NodeKey, int] = {}

        def index_of(node: NodeKey) -> int:
            if node not in known:
                sources = sorted(index_of(source) for source in incoming.get(node, ()) if source[1] <= node[1])
                known[node] = self._kept(History(node, tuple(sources)))
            return known[node]

        return tuple(sorted(index_of(node) for node in self._seen_by_the_answer(nodes)))

    def at(self, site: Site) -> list[int]:
        """Indices of the histories of a site's nodes."""
        return [index for index, history in enumerate(self.all) if history.node[0] == site]

    def _kept(self, history: History) -> int:
        if history not in self._index:
            self._index[history] = len(self.all)
            self.all.append(history)
        return self._index[history]

    def _incoming(self, edge_set: EdgeSet, nodes: Iterable[NodeKey]) -> Mapping[NodeKey, list[NodeKey]]:
        """The sources of each node's edges."""
        if edge_set.edges is ALL_EDGES:
            return {node: [source for source in nodes if source[0] in self.parents[node[0]]] for node in nodes}
        incoming: dict[NodeKey, list[NodeKey]] = {}
        kept = set(nodes)
        for source, target in dict.fromkeys(edge_set.edges):
            self._check(source, target, kept)
            incoming.setdefault(target, []).append(source)
        return incoming

    def _check(self, source: NodeKey, target: NodeKey, nodes: set[NodeKey]) -> None:
        for node in (source, target):
            site, position, feature_id = node
            if feature_id == ERROR:
                raise ValueError(
                    f"an edge has the error at {site}@{position} as its end, expected features only; drop it"
                )
            if node not in nodes:
                raise ValueError(
                    f"an edge ends in {site}/{feature_id}@{position}, expected nodes of the set; add the node"
                )
        if source[0] not in self.parents[target[0]]:
            raise ValueError(
                f"an edge joins {source[0]} and {target[0]}, expected a site and one of its parents; drop it"
            )

    def _seen_by_the_answer(self, nodes: Sequence[NodeKey]) -> list[NodeKey]:
        """Tokens appended to the prompt look at every site; else only what no later site stands before is seen."""
        runs = self._runs
        if only_last_token_is_seen(runs):
            return [node for node in nodes if node[0] == runs.sites[-1] and node[1] == runs.n_positions - 1]
        return list(nodes)


def only_last_token_is_seen(runs: Runs) -> bool:
    """Whether the answer is one token and no layer follows the last site: then only the last token there matters."""
    last = Site("resid_post", runs.host.n_layers - 1)
    return runs.behaviour.kept_logits == 1 and runs.sites[-1] == last


def _keys_of(nodes: NodeSet) -> list[NodeKey]:
    """The nodes of a set, each once."""
    keys = (
        (site, position, feature_id)
        for site, pair in nodes.nodes.items()
        for position, feature_id in zip(*(column.tolist() for column in pair), strict=True)
    )
    return list(dict.fromkeys(keys))
