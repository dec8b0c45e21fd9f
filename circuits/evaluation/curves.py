"""Curves of faithfulness and completeness over size, all circuits of all curves in one batch.

Errors are treated in three ways, side by side: at their baseline, as everywhere in this project; kept at their clean
value, which says what the features would carry if dictionaries were perfect; and as nodes, ranked and counted among the
features. Completeness is the faithfulness of the complement among the nodes that differ: low is good.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.effects.ensemble_effects import PlaceEffects
from circuits.evaluation.areas import SHARES, cmd, cpr, sizes_of_shares
from circuits.evaluation.masked_runs import ALL_FEATURES, ensemble_metrics
from circuits.evaluation.orders import all_errors, complement, leading_first, union, with_errors
from circuits.evaluation.scale import Estimate, Scale
from circuits.evaluation.selection import Ranking
from circuits.runs.ensemble import Ensemble
from circuits.runs.node_set import NodeSet
from sae.host.sites import Site

__all__ = ["ERRORS", "SIZES", "Areas", "CurvePoint", "Curves", "measure_curves"]

ERRORS = ("at_baseline", "kept", "as_nodes")
"""Treatments of the errors; the first is the headline."""

SIZES = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200)
"""Sizes of curves, in nodes."""

Key = tuple[str, ...] | tuple[str, str, int]
Metrics = Mapping[Key, Float[Tensor, " units"]]


@dataclass(frozen=True)
class CurvePoint:
    """One circuit and its complement."""

    n_nodes: int
    share: float
    """Of all nodes that differ."""
    metric: float
    """Mean m of the circuit: what there is to say where its share is withheld."""
    faithfulness: Estimate
    completeness: Estimate


@dataclass(frozen=True)
class Areas:
    """A curve in two numbers, and the values on the grid of shares that they come from."""

    cpr: Estimate
    cmd: Estimate
    signed: tuple[Estimate, ...]
    """f on the grid, first the nodes that lead most from the baseline to the model."""
    absolute: tuple[Estimate, ...]
    """f on the grid, nodes by falling absolute contribution."""


@dataclass(frozen=True)
class Curves:
    """What a circuit keeps, and what its ranking keeps at every size.

    Attributes:
        scale: The two ends.
        n_differing: Features that differ between clean and baseline run.
        circuit: The circuit itself, errors at their baseline.
        share_kept_without_errors: f of every feature with every error at its baseline.
        points: For each treatment of the errors the curve.
        areas: For each treatment CPR and CMD.
    """

    scale: Scale
    n_differing: int
    circuit: CurvePoint
    share_kept_without_errors: Estimate
    points: Mapping[str, tuple[CurvePoint, ...]]
    areas: Mapping[str, Areas]

    def to_json(self) -> dict[str, Any]:
        """Curves and areas by treatment of the errors."""
        return {
            "curves": {errors: [_record(point) for point in curve] for errors, curve in self.points.items()},
            "areas": {errors: _areas_record(found) for errors, found in self.areas.items()},
        }


def measure_curves(
    ensemble: Ensemble,
    circuit: NodeSet,
    ranking: Ranking,
    effects: Mapping[Site, PlaceEffects],
    *,
    sizes: Sequence[int] = SIZES,
    seed: int = 0,
) -> Curves:
    """Run the circuit, and its ranking cut at every size, in one batch.

    Args:
        ensemble: The runs.
        circuit: The features of the circuit.
        ranking: Of all features that differ.
        effects: Of all nodes, for the errors.
        sizes: Of the curves, in nodes; those beyond the ranking stop at its end.
        seed: Of the bootstrap.

    Raises:
        ValueError: The model and its baseline answer alike.
    """
    rankings = {errors: ranking if errors != "as_nodes" else with_errors(ranking, effects) for errors in ERRORS}
    scale = Scale.of(ensemble, ensemble_metrics(ensemble, [NodeSet({})])[0], seed=seed)
    asked: dict[Key, NodeSet | None] = {("all features",): ALL_FEATURES}
    asked[("circuit",)], asked[("complement",)] = circuit, complement(ranking, circuit)
    for errors, ranked in rankings.items():
        asked |= _asked(ensemble, errors, ranked, leading_first(ranked, scale.gap), sizes)
    metrics: Metrics = dict(zip(asked, ensemble_metrics(ensemble, list(asked.values())), strict=True))
    return Curves(
        scale,
        len(ranking),
        _point(scale, len(circuit), len(ranking), metrics["circuit",], metrics["complement",]),
        scale.estimate(metrics["all features",][None]),
        {errors: _curve(scale, metrics, errors, ranked, sizes) for errors, ranked in rankings.items()},
        {errors: _areas(scale, metrics, errors, ranked) for errors, ranked in rankings.items()},
    )


def _asked(
    ensemble: Ensemble, errors: str, ranking: Ranking, signed: Ranking, sizes: Sequence[int]
) -> dict[Key, NodeSet | None]:
    """Every circuit that a treatment of the errors needs, by name."""
    asked: dict[Key, NodeSet | None] = {}
    free = [all_errors(ensemble)] if errors == "kept" else []
    for n in {*_cut(sizes, ranking), *sizes_of_shares(len(ranking))}:
        asked[errors, "absolute", n] = union([ranking.top(n), *free])
    for n in _cut(sizes, ranking):
        asked[errors, "complement", n] = union([complement(ranking, ranking.top(n)), *free])
    for n in sizes_of_shares(len(ranking)):
        asked[errors, "signed", n] = union([signed.top(n), *free])
    return asked


def _cut(sizes: Sequence[int], ranking: Ranking) -> list[int]:
    """The sizes, none beyond the ranking, in rising order."""
    return sorted({min(n, len(ranking)) for n in sizes})


def _curve(
    scale: Scale, metrics: Metrics, errors: str, ranking: Ranking, sizes: Sequence[int]
) -> tuple[CurvePoint, ...]:
    return tuple(
        _point(scale, n, len(ranking), metrics[errors, "absolute", n], metrics[errors, "complement", n])
        for n in _cut(sizes, ranking)
    )


def _point(
    scale: Scale, n: int, n_differing: int, kept: Float[Tensor, " units"], without: Float[Tensor, " units"]
) -> CurvePoint:
    estimates = scale.estimate(kept[None]), scale.estimate(without[None])
    return CurvePoint(n, n / max(1, n_differing), kept.mean().item(), *estimates)


def _areas(scale: Scale, metrics: Metrics, errors: str, ranking: Ranking) -> Areas:
    grid = sizes_of_shares(len(ranking))
    signed = torch.stack([metrics[errors, "signed", n] for n in grid])
    absolute = torch.stack([metrics[errors, "absolute", n] for n in grid])
    return Areas(
        scale.estimate(signed, cpr),
        scale.estimate(absolute, cmd),
        tuple(scale.estimate(row[None]) for row in signed),
        tuple(scale.estimate(row[None]) for row in absolute),
    )


def _record(point: CurvePoint) -> dict[str, Any]:
    return {
        "n_nodes": point.n_nodes,
        "share": point.share,
        "metric": point.metric,
        "faithfulness": point.faithfulness.to_json(),
        "completeness": point.completeness.to_json(),
    }


def _areas_record(areas: Areas) -> dict[str, Any]:
    grid = zip(SHARES, areas.signed, areas.absolute, strict=True)
    return {
        "cpr": areas.cpr.to_json(),
        "cmd": areas.cmd.to_json(),
        "grid": [{"share": s, "signed": f.to_json(), "absolute": a.to_json()} for s, f, a in grid],
    }
