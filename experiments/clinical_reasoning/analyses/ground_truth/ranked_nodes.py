"""The circuits of a contrast: its differing feature nodes, strongest first, under every basis and method."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.effects.node_effects import NodeEffects, effects_of_gradients, score_nodes
from circuits.evaluation.learned_mask import learn_mask
from circuits.evaluation.selection import Ranking
from circuits.nulls.dictionaries import read_through
from circuits.prompts.behaviour import Behaviour, describe_behaviour
from circuits.runs.baselines import contrast_baseline
from circuits.runs.ensemble import Ensemble
from circuits.runs.runs import Runs, node_positions
from circuits.workbench import Workbench
from experiments.clinical_reasoning.analyses.ground_truth.contrast import Contrast
from experiments.clinical_reasoning.analyses.ground_truth.meanings import Meanings

__all__ = ["ALL", "ANSWER", "GROUPS", "LATE", "MASK", "Arm", "RankedNodes", "ranked_by"]

ALL, LATE, ANSWER = "all sites", "later half of the sites", "answer position"
GROUPS = (ALL, LATE, ANSWER)
"""Which nodes of a circuit count. At the first sites a feature of the changed word differs of itself."""

MASK = "mask"

Arm = tuple[str, str]
"""A basis and a method."""


@dataclass(frozen=True)
class RankedNodes:
    """Feature nodes of one contrast, strongest first.

    Attributes:
        site: Place of each node's site among the sites of the basis.
        position: Token.
        feature_id: Feature.
        meaning: Number of what it is named for.
        groups: By the names in `GROUPS`, which nodes belong to it.
        error_effect: Of the errors of each site together, in units of the metric; they are no nodes here.
        site_effect: The same of each site's features and errors together.
    """

    site: Int[Tensor, " nodes"]
    position: Int[Tensor, " nodes"]
    feature_id: Int[Tensor, " nodes"]
    meaning: Int[Tensor, " nodes"]
    groups: Mapping[str, Bool[Tensor, " nodes"]]
    error_effect: Float[Tensor, " sites"]
    site_effect: Float[Tensor, " sites"]

    @classmethod
    def of(cls, ranking: Ranking, effects: NodeEffects, meanings: Meanings, *, answer_position: int) -> "RankedNodes":
        """Nodes with what they are named for.

        Args:
            ranking: Of a lone prompt.
            effects: Of its nodes and errors.
            meanings: Of the basis, whose sites are those of the ranking.
            answer_position: The prompt's last token.
        """
        meaning = torch.empty_like(ranking.feature_id)
        for index, site in enumerate(ranking.sites):
            here = ranking.site_index == index
            meaning[here] = meanings.of_feature[site][ranking.feature_id[here]]
        groups = {
            ALL: torch.ones_like(ranking.site_index, dtype=torch.bool),
            LATE: ranking.site_index >= len(ranking.sites) / 2,
            ANSWER: ranking.position == answer_position,
        }
        errors = torch.stack([effects[site].error_effect.sum() for site in ranking.sites])
        features = torch.stack([effects[site].indirect_effect.sum() for site in ranking.sites])
        return cls(ranking.site_index, ranking.position, ranking.feature_id, meaning, groups, errors, features + errors)

    def __len__(self) -> int:
        return len(self.site)


def ranked_by(
    bases: Mapping[str, Workbench], meanings: Mapping[str, Meanings], contrast: Contrast, methods: Sequence[str]
) -> tuple[Behaviour, dict[Arm, RankedNodes]]:
    """The nodes of a contrast in every basis by every method.

    Bases at the same sites share their gradients, which do not depend on dictionaries.

    Args:
        bases: All of one host.
        meanings: Of each basis.
        contrast: What is asked.
        methods: Of `score_nodes`, or `MASK`; those that measure or learn are scored in every basis anew.

    Raises:
        ValueError: The model answers both prompts alike.
    """
    host = next(iter(bases.values())).host
    behaviour = describe_behaviour(host, contrast.prompt, contrast=contrast.changed_prompt)
    last = len(behaviour.tokens) - 1
    found: dict[Arm, RankedNodes] = {}
    for names in _sharing_sites(bases):
        for arm, ranking, effects in _rankings(behaviour, {name: bases[name] for name in names}, methods):
            found[arm] = RankedNodes.of(ranking, effects, meanings[arm[0]], answer_position=last)
    return behaviour, found


def _sharing_sites(bases: Mapping[str, Workbench]) -> list[list[str]]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, basis in bases.items():
        groups.setdefault(tuple(map(str, basis.dictionaries)), []).append(name)
    return list(groups.values())


def _rankings(
    behaviour: Behaviour, bases: Mapping[str, Workbench], methods: Sequence[str]
) -> Iterator[tuple[Arm, Ranking, NodeEffects]]:
    """Of bases at the same sites."""
    names = list(bases)
    first = _recorded(bases[names[0]], behaviour)
    ensembles = {names[0]: first}
    for name in names[1:]:
        ensembles[name] = read_through(first, bases[name].dictionaries, same_encoder=False)
    for method in methods:
        if method in (MASK, "exact"):
            yield from (((name, method), *_ranking(ensemble, method)) for name, ensemble in ensembles.items())
            continue
        effects = score_nodes(first.first, method)
        gradients = {site: scored.gradients for site, scored in effects.items()}
        for name, ensemble in ensembles.items():
            own: NodeEffects = effects if name == names[0] else effects_of_gradients(ensemble.first, gradients)
            yield (name, method), Ranking.by_effect(own), own


def _ranking(ensemble: Ensemble, method: str) -> tuple[Ranking, NodeEffects]:
    if method == MASK:
        effects = score_nodes(ensemble.first)
        return Ranking.by_score(effects, learn_mask(ensemble, effects)), effects
    effects = score_nodes(ensemble.first, method)
    return Ranking.by_effect(effects), effects


def _recorded(basis: Workbench, behaviour: Behaviour) -> Ensemble:
    assert behaviour.contrast_ids is not None
    positions = node_positions(basis.host, behaviour)
    baseline = contrast_baseline(basis.host, basis.dictionaries, behaviour.contrast_ids, positions)
    return Ensemble.lone(Runs.record(basis.host, behaviour, basis.dictionaries, baseline))
