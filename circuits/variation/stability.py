"""From a circuit to how often each of its nodes is kept when what should not matter is varied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from circuits.effects.stage_cache import StageCache
from circuits.graph.circuit import Circuit, strongest
from circuits.reopening import reopen
from circuits.settings import recorded_rule
from circuits.variation.agreement_of_runs import VariationResult, summarise
from circuits.variation.case import VariationCase
from circuits.variation.catalogue import VARIATIONS, chosen_variations
from circuits.variation.kept_nodes import strongest_nodes
from circuits.variation.overlap import jaccard
from circuits.workbench import Workbench
from sae.command_line import SCHEMA_VERSION, Stopwatch, versions
from sae.host.host import HostModel

__all__ = ["DEFAULT_DRAWS", "Stability", "stability"]

DEFAULT_DRAWS = 1000


@dataclass(frozen=True)
class Stability:
    """A circuit whose features carry their selection frequency, and how alike the runs were.

    Attributes:
        circuit: With frequencies, and a summary as its entry `stability`.
        n_differing: Features that differ from their baseline: what was chosen from.
        reproduced: Jaccard index of the circuit with what is kept when nothing is varied; below 1 for circuits that
            were not chosen by rank alone.
        variations: Result of each.
        frequency: For every node that the circuit or a run kept, its mean frequency over the variations.
        config: How it was measured.
        seconds: By stage.
    """

    circuit: Circuit
    n_differing: int
    reproduced: float
    variations: Mapping[str, VariationResult]
    frequency: Mapping[str, float]
    config: Mapping[str, Any]
    seconds: Mapping[str, float]

    @property
    def random_frequency(self) -> float:
        """How often a random node is kept: the null of a frequency."""
        return len(self.circuit.features) / self.n_differing

    def to_json(self) -> dict[str, Any]:
        """What `circuits stability --json` prints and `stability.json` holds."""
        circuit = self.circuit
        return {
            "schema_version": SCHEMA_VERSION,
            "command": "circuits stability",
            "config": dict(self.config),
            "seed": self.config["seed"],
            "versions": versions(),
            **{key: circuit.provenance.get(key) for key in ("model", "saes")},
            **{key: getattr(circuit, key) for key in ("prompt", "target", "foil", "method", "baseline")},
            "n_nodes": len(circuit.features),
            "n_differing": self.n_differing,
            "reproduced": self.reproduced,
            "random_frequency": self.random_frequency,
            "variations": {
                name: {"meaning": VARIATIONS[name].meaning, **result.to_json()}
                for name, result in self.variations.items()
            },
            "nodes": self._nodes(),
            "seconds": dict(self.seconds),
        }

    def _nodes(self) -> list[dict[str, Any]]:
        """Every node that was ever kept, oftenest first."""
        own = {node.id for node in self.circuit.features}
        by_variation = {name: found.frequency for name, found in self.variations.items() if found.frequency}
        return [
            {
                "id": node,
                "in_circuit": node in own,
                "selection_frequency": share,
                "by_variation": {name: found.get(node, 0.0) for name, found in by_variation.items()},
            }
            for node, share in self.frequency.items()
        ]


def stability(
    circuit: Circuit | Path | str,
    *,
    vary: str | Sequence[str] = "all",
    draws: int = DEFAULT_DRAWS,
    seed: int = 0,
    workbench: Workbench | None = None,
    model: str | Path | HostModel | None = None,
    device: str | None = None,
    stages: Path | None = None,
) -> Stability:
    """Choose a circuit's nodes again and again, each time as many as it has, and count how often each is kept.

    Nodes are ranked by the effects that the circuit was found with. Every variation counts alike in a node's frequency,
    however many runs it has.

    Args:
        circuit: As `circuits discover` wrote it, or where.
        vary: `all`, or names of `circuits.variation.catalogue.VARIATIONS`; one that does not apply says why.
        draws: Bootstrap resamples.
        seed: Of the resamples.
        workbench: The model with its dictionaries, if it is loaded already.
        model: The model, where it is not where the circuit says.
        device: Where it runs; by default where it did.
        stages: Folder where effects are kept, and taken from if they are there already.

    Raises:
        ValueError: The circuit has no features, ranks them by a learned mask or cannot be reopened; `draws` is below 2;
            there is no variation of a name; or none applies.
    """
    names = chosen_variations(vary)
    if draws < 2:
        raise ValueError(f"draws is {draws}, expected at least 2")
    loaded = circuit if isinstance(circuit, Circuit) else Circuit.load(circuit)
    _check(loaded)
    watch = Stopwatch()
    with watch.stage("load"):
        opened = reopen(loaded, workbench=workbench, model=model, device=device)
    rule, options = recorded_rule(loaded.method, loaded.provenance["config"])
    case = VariationCase(opened, rule, options, draws, seed, None if stages is None else StageCache(stages))
    with watch.stage("nodes"):
        n_differing = sum(len(scored.position) for scored in case.at_places.values())
        own = tuple(node.id for node in strongest(loaded.features))
        reproduced = jaccard(own, strongest_nodes(case.at_places, len(own)))
    results = {}
    for name in names:
        with watch.stage(name):
            results[name] = summarise(own, VARIATIONS[name].repeat(case), n_differing)
    frequency = _mean_frequency(own, results)
    config = {"vary": names, "draws": draws, "seed": seed, "rule": rule, **options}
    varied = _with_frequencies(loaded, frequency, results, config)
    return Stability(varied, n_differing, reproduced, results, frequency, config, dict(watch.seconds))


def _check(circuit: Circuit) -> None:
    if not circuit.features:
        raise ValueError("the circuit has no features, expected at least one; discover again with --top-k")
    if circuit.method == "mask":
        raise ValueError(
            "the circuit was chosen by a learned mask, expected one ranked by effect; discover with another --method"
        )


def _mean_frequency(own: Sequence[str], results: Mapping[str, VariationResult]) -> dict[str, float]:
    """Mean over the variations, of each node that the circuit or a run kept; oftenest first."""
    found = [result.frequency for result in results.values() if result.frequency is not None]
    if not found:
        reasons = "; ".join(f"{name}: {result.reason}" for name, result in results.items())
        raise ValueError(f"no variation applies to this circuit ({reasons}); name others in --vary")
    nodes = dict.fromkeys([*own, *(node for shares in found for node in shares)])
    means = {node: sum(shares.get(node, 0.0) for shares in found) / len(found) for node in nodes}
    return dict(sorted(means.items(), key=lambda entry: -entry[1]))


def _with_frequencies(
    circuit: Circuit,
    frequency: Mapping[str, float],
    results: Mapping[str, VariationResult],
    config: Mapping[str, Any],
) -> Circuit:
    """The circuit with a frequency on every feature; errors are not chosen and have none."""
    nodes = [
        replace(node, selection_frequency=frequency[node.id] if node.kind == "feature" else None)
        for node in circuit.nodes
    ]
    record = {"config": dict(config), "variations": {name: result.to_json() for name, result in results.items()}}
    return replace(circuit, nodes=nodes, provenance={**circuit.provenance, "stability": record})
