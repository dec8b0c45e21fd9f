"""A circuit: the features (and SAE errors) that carry a behaviour, their connections, and where the numbers come from.

On disk it is a directory with two files, see `circuits/graph/circuit_files.py`: the JSON is complete by itself, the
safetensors file has the numbers in full single precision and is where `Circuit.load` takes them from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import networkx as nx

from circuits.graph.circuit_files import read_circuit_files, write_circuit_files
from circuits.graph.circuit_record import RECORD_KEYS, circuit_arrays, circuit_fields
from circuits.graph.measurement import Faithfulness, MetricValues
from circuits.graph.node import Edge, Node, check_finite
from sae.host.sites import Site

__all__ = ["SCHEMA_VERSION", "Circuit", "Edge", "Faithfulness", "MetricValues", "Node", "strongest"]

SCHEMA_VERSION = 2
READABLE_VERSIONS = (1, 2)


@dataclass(frozen=True)
class Circuit:
    """Nodes and edges, found and measured on one prompt. Checked as a whole when it is made."""

    prompt: str
    tokens: Sequence[str]
    """The prompt as the model reads it, BOS included."""
    target: str
    foil: str
    method: str
    """How effects were estimated, for example `integrated_gradients`."""
    baseline: str
    """What a node is set to when it is removed: `contrast`, `resample`, `mean` or `zero`."""
    metric: MetricValues
    nodes: Sequence[Node]
    edges: Sequence[Edge] = ()
    faithfulness: Faithfulness | None = None
    site_residuals: Mapping[Site, float] | None = None
    """For each site how far the effects of its nodes are from adding up to the exact effect of the whole site."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Further entries of the JSON: command, config, seed, versions, model, saes, seconds. Kept as given, except that
    `schema_version` is always the file's own."""
    token_ids: Sequence[int] | None = None

    def __post_init__(self) -> None:
        for name in ("tokens", "nodes", "edges"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.token_ids is not None:
            object.__setattr__(self, "token_ids", tuple(self.token_ids))
        provenance = {key: value for key, value in self.provenance.items() if key != "schema_version"}
        object.__setattr__(self, "provenance", provenance)
        _check_tokens(self)
        _check_nodes(self)
        _check_edges(self)
        _check_records(self)

    @property
    def features(self) -> tuple[Node, ...]:
        """The feature nodes, in the circuit's order."""
        return tuple(node for node in self.nodes if node.kind == "feature")

    @property
    def errors(self) -> tuple[Node, ...]:
        """The error nodes: scored and listed, but not counted."""
        return tuple(node for node in self.nodes if node.kind == "error")

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites with a node, in forward order."""
        return tuple(sorted({node.site for node in self.nodes}))

    @property
    def sign_convention(self) -> str:
        """What the signs of effects mean, in a sentence for files, tables and pages."""
        score = "logit" if self.metric.unit == "logits" else "log_prob"
        return (
            f"m = {score}(target) - {score}(foil); indirect_effect = m(node set to its baseline) - m(clean); "
            "contribution = -indirect_effect, so that a positive contribution supports the target"
        )

    def subset(self, n: int) -> "Circuit":
        """The circuit of the `n` features with the largest absolute effect, every error, and the edges among them.

        Its faithfulness is None, because that of the whole circuit does not hold for a part.

        Raises:
            ValueError: If `n` is negative.
        """
        if n < 0:
            raise ValueError(f"n must be at least 0, got {n}")
        if n >= len(self.features):
            return self
        kept = {node.id for node in (*strongest(self.features)[:n], *self.errors)}
        return replace(
            self,
            nodes=[node for node in self.nodes if node.id in kept],
            edges=[edge for edge in self.edges if {edge.source, edge.target} <= kept],
            faithfulness=None,
        )

    def to_json(self) -> dict[str, Any]:
        """What `circuits discover --json` prints: provenance and public keys, effects in single precision."""
        residuals = self.site_residuals
        return {
            "schema_version": SCHEMA_VERSION,
            **self.provenance,
            "prompt": self.prompt,
            "tokens": list(self.tokens),
            "target": self.target,
            "foil": self.foil,
            "method": self.method,
            "baseline": self.baseline,
            "sign_convention": self.sign_convention,
            "metric": asdict(self.metric),
            "faithfulness": None if self.faithfulness is None else asdict(self.faithfulness),
            "site_residuals": None if residuals is None else {str(site): residuals[site] for site in sorted(residuals)},
            "nodes": [node.to_json() for node in self.nodes],
            "edges": [edge.to_json() for edge in self.edges],
        }

    def to_networkx(self) -> nx.DiGraph:
        """A directed graph of plain strings and numbers, keyed by node id; what a node does not have is left out."""
        graph: nx.DiGraph = nx.DiGraph(
            prompt=self.prompt,
            target=self.target,
            foil=self.foil,
            method=self.method,
            baseline=self.baseline,
            sign_convention=self.sign_convention,
            metric_clean=self.metric.clean,
            metric_baseline=self.metric.baseline,
            metric_unit=self.metric.unit,
        )
        if self.faithfulness is not None and self.faithfulness.value is not None:
            graph.graph["faithfulness"] = self.faithfulness.value
        for record in (node.to_json() for node in self.nodes):
            name = record.pop("id")
            graph.add_node(name, **{key: value for key, value in record.items() if value is not None})
        for edge in self.edges:
            graph.add_edge(edge.source, edge.target, effect=edge.to_json()["effect"])
        return graph

    def save(self, directory: Path | str) -> None:
        """Write `circuit.json` and `circuit.safetensors` into `directory`, replacing those of an earlier circuit.

        Raises:
            ValueError: If the directory cannot be written, or the provenance has something JSON cannot hold.
        """
        arrays = circuit_arrays(self.nodes, self.edges, sites=self.sites, token_ids=self.token_ids or ())
        sites = [str(site) for site in self.sites]
        write_circuit_files(Path(directory), self.to_json(), arrays, sites=sites)

    @classmethod
    def load(cls, path: Path | str) -> "Circuit":
        """Read a circuit.

        Args:
            path: The directory, or the `circuit.json` in it.

        Raises:
            ValueError: If a file is missing, truncated or altered, or was written by a version this one cannot read.
        """
        document, arrays = read_circuit_files(Path(path))
        version = document.get("schema_version")
        if version not in READABLE_VERSIONS:
            readable = " or ".join(map(str, READABLE_VERSIONS))
            raise ValueError(f"schema_version of {str(path)!r} is {version!r}, expected {readable}; discover again")
        try:
            circuit = cls(**circuit_fields(document, arrays))
        except ValueError as error:
            raise ValueError(f"{str(path)!r} holds no valid circuit: {error}; discover again") from error
        document["schema_version"] = SCHEMA_VERSION
        if altered := [key for key, value in circuit.to_json().items() if not _agrees(document.get(key), value)]:
            raise ValueError(
                f"{str(path)!r} was altered: {', '.join(altered)} disagrees with circuit.safetensors; discover again"
            )
        return circuit


def strongest(nodes: Sequence[Node]) -> list[Node]:
    """`nodes` by falling absolute contribution; equal ones stay in their order."""
    return sorted(nodes, key=lambda node: -abs(node.contribution))


def _agrees(stored: Any, own: Any) -> bool:
    """Whether an entry of the JSON says what the arrays do; a number that schema 1 did not have yet counts as None."""
    if isinstance(own, dict) and isinstance(stored, dict):
        return stored.keys() <= own.keys() and all(_agrees(stored.get(key), value) for key, value in own.items())
    if isinstance(own, list) and isinstance(stored, list):
        return len(stored) == len(own) and all(map(_agrees, stored, own))
    return bool(stored == own)


def _check_tokens(circuit: Circuit) -> None:
    if not circuit.tokens:
        raise ValueError("a circuit needs at least one token")
    if circuit.token_ids is not None and len(circuit.token_ids) != len(circuit.tokens):
        raise ValueError(f"got {len(circuit.token_ids)} token ids for {len(circuit.tokens)} tokens")


def _check_nodes(circuit: Circuit) -> None:
    seen: set[str] = set()
    for node in circuit.nodes:
        if node.id in seen:
            raise ValueError(f"node {node.id} occurs twice")
        seen.add(node.id)
        if node.position >= len(circuit.tokens):
            raise ValueError(f"node {node.id} lies beyond the prompt's {len(circuit.tokens)} tokens")
        if node.token != circuit.tokens[node.position]:
            expected = circuit.tokens[node.position]
            raise ValueError(f"token of node {node.id} must be the prompt's, {expected!r}, got {node.token!r}")


def _check_edges(circuit: Circuit) -> None:
    nodes = {node.id: node for node in circuit.nodes}
    seen: set[tuple[str, str]] = set()
    for edge in circuit.edges:
        name = f"edge {edge.source} -> {edge.target}"
        for end in (edge.source, edge.target):
            if end not in nodes:
                raise ValueError(f"{name} names {end!r}, which is no node of the circuit")
        source, target = nodes[edge.source], nodes[edge.target]
        if not source.site < target.site or source.position > target.position:
            raise ValueError(f"{name} runs against the forward pass: edges go to a later site and to no earlier token")
        if (edge.source, edge.target) in seen:
            raise ValueError(f"{name} occurs twice")
        seen.add((edge.source, edge.target))


def _check_records(circuit: Circuit) -> None:
    if circuit.site_residuals is not None:
        check_finite("site_residuals", [(str(site), value) for site, value in circuit.site_residuals.items()])
    if taken := sorted(RECORD_KEYS & circuit.provenance.keys()):
        raise ValueError(f"provenance must not use the circuit's own keys, got {', '.join(taken)}")
