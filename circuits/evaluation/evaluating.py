"""From a circuit to what can be said about it: curves, areas and nulls, each with its interval or range."""

from collections.abc import Sequence
from pathlib import Path

from circuits.effects.ensemble_effects import score_ensemble
from circuits.evaluation.curves import SIZES, measure_curves
from circuits.evaluation.edge_curves import measure_edges
from circuits.evaluation.record import Evaluation
from circuits.evaluation.selection import Ranking
from circuits.graph.circuit import Circuit
from circuits.nulls.case import NullCase
from circuits.nulls.catalogue import chosen_nulls, run_nulls
from circuits.reopening import node_set, reopen
from circuits.settings import recorded_rule
from circuits.workbench import Workbench
from sae.command_line import Stopwatch
from sae.host.host import HostModel

__all__ = ["evaluate"]


def evaluate(
    circuit: Circuit | Path | str,
    *,
    nulls: str | Sequence[str] = "all",
    sizes: Sequence[int] = SIZES,
    draws: int | None = None,
    edges: bool = True,
    seed: int = 0,
    workbench: Workbench | None = None,
    model: str | Path | HostModel | None = None,
    device: str | None = None,
) -> Evaluation:
    """Measure how much of the behaviour a circuit keeps, beside its nulls.

    The circuit's prompts are run and its nodes are ranked again, by the effects that it was found with; those of a
    learned mask too, which is not learned again.

    Args:
        circuit: As `circuits discover` wrote it, or where.
        nulls: `all`, `none`, or names of `circuits.nulls.catalogue.NULLS`.
        sizes: Of the curves, in nodes.
        draws: Of each null, instead of its own number.
        edges: Whether to run the edges among its features too, which takes long for many features and references.
        seed: Of the draws and of the bootstrap.
        workbench: The model with its dictionaries, if it is loaded already.
        model: The model, where it is not where the circuit says.
        device: Where it runs; by default where it did.

    Raises:
        ValueError: The circuit cannot be reopened, has no features, or its model and baseline answer alike; a size is
            below 1; or there is no null of a name.
    """
    names = chosen_nulls(nulls)
    if wrong := [size for size in sizes if size < 1]:
        raise ValueError(f"sizes has {wrong[0]}, expected whole numbers of at least 1")
    loaded = circuit if isinstance(circuit, Circuit) else Circuit.load(circuit)
    if not loaded.features:
        raise ValueError("the circuit has no features, expected at least one; discover again with --top-k")
    watch = Stopwatch()
    with watch.stage("load"):
        opened = reopen(loaded, workbench=workbench, model=model, device=device)
    rule, options = recorded_rule(loaded.method, loaded.provenance["config"])
    with watch.stage("nodes"):
        effects = score_ensemble(opened.ensemble, rule, **options)
    nodes, ranking = node_set(loaded), Ranking.by_effect(effects.at_places)
    with watch.stage("curves"):
        curves = measure_curves(opened.ensemble, nodes, ranking, effects.at_places, sizes=sizes, seed=seed)
    case = NullCase(opened, effects, ranking, nodes, curves.scale, rule, options, seed)
    with watch.stage("nulls"):
        found = run_nulls(case, names, curves.circuit.faithfulness.value, n_draws=draws)
    with watch.stage("edges"):
        is_wanted = edges and curves.scale.reason is None
        of_edges = measure_edges(opened.ensemble, effects, loaded, nodes, curves.scale) if is_wanted else None
    config = {"sizes": list(sizes), "nulls": names, "draws": draws, "edges": edges, "method": rule, **options}
    return Evaluation(loaded, curves, found, of_edges, config, dict(watch.seconds))
