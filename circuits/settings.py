"""The options of a discovery, checked once."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from circuits.effects.node_effects import METHODS as RULES
from circuits.effects.path_gradients import IG_RULES
from circuits.runs.baselines import BASELINES
from circuits.runs.dictionaries import BASES

__all__ = ["DEFAULT_FAITHFULNESS", "METHODS", "DiscoverySettings", "recorded_rule"]

METHODS = (*RULES, "mask")

_RULE_OPTIONS = ("ig_steps", "ig_rule", "ig_tolerance")
"""Of `score_nodes`, by their names in the record of a circuit."""

DEFAULT_FAITHFULNESS = 0.8
CRITERIA = ("faithfulness", "top_k", "node_threshold", "cumulative")


@dataclass(frozen=True)
class DiscoverySettings:
    """How a circuit is looked for. The same names as the options of `circuits discover`."""

    method: str = "integrated_gradients"
    """Rule for node effects, by which nodes are ranked; `mask` ranks by a learned mask instead."""
    ig_steps: int = 5
    """Points of the path; with several references each gets one point instead."""
    ig_rule: str = "midpoint"
    """Where in each step of the path its gradient is taken: `midpoint`, or `left` as in published code."""
    ig_tolerance: float | None = None
    """Double the points of a site until its effects miss the exact total by at most this share of it."""
    baseline: str | None = None
    """What nodes are set to; by default `contrast` where there is one, else `resample`."""
    basis: str = "features"
    """`features` of SAEs, or for comparison MLP `neurons` or coordinates of the `residual` stream."""
    faithfulness: float | None = None
    """Keep the fewest nodes that reach this share of the behaviour, 0 to 1; 0.8 unless another criterion is given."""
    top_k: int | None = None
    """Keep this many nodes."""
    node_threshold: float | None = None
    """Keep nodes with |effect| of at least this many units of the metric."""
    cumulative: float | None = None
    """Keep the fewest nodes whose |effects| add up to this share of those of all nodes, 0 to 1."""
    edge_threshold: float | None = None
    """Keep edges with |effect| above this; 1 % of the metric's gap by default."""
    nodes_only: bool = False
    """Skip the edges."""
    exact_edges: bool = False
    """Measure every edge besides, by a run of its block with the source at its baseline."""
    seed: int = 0
    """Seed of the choice of references, of the random null and of the bootstrap."""

    def __post_init__(self) -> None:
        _check_choice("method", self.method, METHODS)
        _check_choice("ig_rule", self.ig_rule, tuple(IG_RULES))
        _check_choice("basis", self.basis, BASES)
        if self.baseline is not None:
            _check_choice("baseline", self.baseline, BASELINES)
        criteria = [name for name in CRITERIA if getattr(self, name) is not None]
        if len(criteria) > 1:
            raise ValueError(f"{' and '.join(criteria)} were both given, expected one way to choose nodes; drop one")
        by_effect = [name for name in criteria if name in ("node_threshold", "cumulative")]
        if self.method == "mask" and by_effect:
            raise ValueError(
                f"{by_effect[0]} chooses by effect but method 'mask' does not rank by it; give top_k instead"
            )
        _check_range("faithfulness", self.faithfulness, 0.0, 1.0)
        _check_range("cumulative", self.cumulative, 0.0, 1.0)
        _check_range("node_threshold", self.node_threshold, 0.0, math.inf)
        _check_range("edge_threshold", self.edge_threshold, 0.0, math.inf)
        if self.ig_tolerance is not None and not 0 < self.ig_tolerance <= 1:
            raise ValueError(f"ig_tolerance is {self.ig_tolerance}, expected a share above 0 and at most 1")
        for name in ("ig_steps", "top_k"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} is {value}, expected a whole number of at least 1")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}, expected 0 or more")

    @property
    def effect_options(self) -> dict[str, Any]:
        """What `score_nodes` is asked for."""
        return {"method": _rule_of(self.method), **{name: getattr(self, name) for name in _RULE_OPTIONS}}

    @property
    def wanted_faithfulness(self) -> float | None:
        """The share to reach, or None where nodes are chosen otherwise."""
        if any(getattr(self, name) is not None for name in CRITERIA[1:]):
            return None
        return DEFAULT_FAITHFULNESS if self.faithfulness is None else self.faithfulness

    def to_json(self) -> dict[str, Any]:
        """All options by name."""
        return asdict(self)


def recorded_rule(method: str, config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """By which rule and options the nodes of a circuit were scored.

    Args:
        method: The circuit's.
        config: Of its record.
    """
    return _rule_of(method), {name: config[name] for name in _RULE_OPTIONS if name in config}


def _rule_of(method: str) -> str:
    """The rule that scores nodes: with a learned mask, which ranks only, the effects are integrated gradients."""
    return "integrated_gradients" if method == "mask" else method


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} {value!r} is unknown, expected one of {', '.join(choices)}")


def _check_range(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"{name} is {value}, expected a finite number between {low:g} and {high:g}")
