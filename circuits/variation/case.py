"""What every variation starts from, and what it gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

from circuits.effects.ensemble_effects import PlaceEffects, gathered_effects
from circuits.effects.node_effects import NodeEffects, score_nodes
from circuits.effects.stage_cache import StageCache
from circuits.reopening import OpenCircuit
from circuits.runs.ensemble import Ensemble
from circuits.runs.runs import Runs
from circuits.variation.kept_nodes import Kept, UnitEffects, strongest_nodes
from circuits.workbench import Workbench
from sae.host.sites import Site
from sae.progress import progress

__all__ = ["Repeats", "VariationCase", "under_reference"]


@dataclass(frozen=True)
class Repeats:
    """What was kept each time that a circuit of the same size was chosen again."""

    kept: tuple[Kept, ...] = ()
    settings: tuple[str, ...] = ()
    """What each time was like; empty for draws, which have no names."""
    reason: str | None = None
    """Why there are none."""


@dataclass(frozen=True, eq=False)
class VariationCase:
    """A circuit that was reopened and scored again.

    Attributes:
        opened: The circuit with its runs.
        rule: For node effects.
        options: Of that rule.
        draws: How many resamples.
        seed: Of the draws.
        cache: Where effects are kept, and found if they were scored before.
    """

    opened: OpenCircuit
    rule: str
    options: Mapping[str, Any] = field(default_factory=dict)
    draws: int = 1000
    seed: int = 0
    cache: StageCache | None = None

    @property
    def ensemble(self) -> Ensemble:
        """The circuit's own runs."""
        return self.opened.ensemble

    @property
    def n_nodes(self) -> int:
        """Features of the circuit: as many are kept each time."""
        return len(self.opened.circuit.features)

    @property
    def n_units(self) -> int:
        """What statistics are over: prompts, or of a lone prompt its references."""
        return len(self.ensemble.clean_metrics)

    @cached_property
    def effects(self) -> tuple[NodeEffects, ...]:
        """Those that the circuit was chosen by, of each prompt."""
        return self._scored(self.ensemble)

    @cached_property
    def at_places(self) -> dict[Site, PlaceEffects]:
        """The same of all prompts together."""
        return gathered_effects(self.ensemble, self.effects)

    @cached_property
    def units(self) -> UnitEffects:
        """Of every prompt by itself; of a lone prompt under every reference by itself, which is scored for it.

        A reference by itself gets the whole path, where several share one between them.
        """
        if self.ensemble.is_lone:
            runs = self.ensemble.first
            alone = [
                replace(self.ensemble, runs=(under_reference(runs, r),)) for r in range(runs.baseline.n_references)
            ]
            scored = [self._scored(each) for each in progress(alone, "scoring references")]
        else:
            places = self.ensemble.places
            alone = [
                Ensemble((runs,), replace(places, of_position=(of_position,)))
                for runs, of_position in zip(self.ensemble.runs, places.of_position, strict=True)
            ]
            scored = [(effects,) for effects in self.effects]
        return UnitEffects.of([gathered_effects(each, own) for each, own in zip(alone, scored, strict=True)])

    def kept_again(self, ensemble: Ensemble, **changed: Any) -> Kept:
        """What is kept of other runs, or under changed options of the rule."""
        return strongest_nodes(gathered_effects(ensemble, self._scored(ensemble, **changed)), self.n_nodes)

    def run_again(self, bench: Workbench, seed: int) -> Ensemble:
        """The same prompts and answers on another host, or with references of another seed."""
        question, baseline = self.opened.question, self.opened.circuit.baseline
        behaviours = progress([runs.behaviour for runs in self.ensemble.runs], "running prompts")
        runs = tuple(question.recorded(bench, behaviour, baseline, seed) for behaviour in behaviours)
        return replace(self.ensemble, runs=runs)

    def _scored(self, ensemble: Ensemble, **changed: Any) -> tuple[NodeEffects, ...]:
        return tuple(self._effects_of(runs, changed) for runs in progress(ensemble.runs, "scoring prompts"))

    def _effects_of(self, runs: Runs, changed: Mapping[str, Any]) -> NodeEffects:
        options = {**self.options, **changed}
        score = partial(score_nodes, runs, self.rule, **options)
        return score() if self.cache is None else self.cache.effects(runs, score, method=self.rule, **options)


def under_reference(runs: Runs, reference: int) -> Runs:
    """The same prompt with one of its references."""
    features = {}
    for site, active in runs.baseline.features.items():
        own = active.row == reference
        entries = {name: getattr(active, name)[own] for name in ("position", "feature_id", "value")}
        features[site] = replace(active, row=active.row[own] - reference, n_rows=1, **entries)
    activations = {site: x[reference : reference + 1] for site, x in runs.baseline.activations.items()}
    return replace(runs, baseline=replace(runs.baseline, activations=activations, features=features))
