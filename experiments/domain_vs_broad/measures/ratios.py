"""From the parts of a record to ratios that can be pooled over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from experiments.domain_vs_broad.measures.measured_host import RatioOf
from experiments.domain_vs_broad.measures.pooling import Ratio, mean_of

__all__ = ["absorption", "chance", "cost", "error_share", "l0", "linear_share", "localised", "probed", "rules"]

BALANCED_CHANCE = 0.5


def error_share(reconstruction: str, kind: str) -> RatioOf:
    """FVU of a reconstruction, or its `linear` or `nonlinear` part, over documents."""

    def ratio(part: Mapping[str, Any]) -> Ratio:
        return Ratio(_error(part, reconstruction, kind), _tensor(part["x_square"]))

    return ratio


def linear_share(reconstruction: str) -> RatioOf:
    """The linear part of FVU over all of it."""

    def ratio(part: Mapping[str, Any]) -> Ratio:
        return Ratio(_error(part, reconstruction, "linear"), _error(part, reconstruction, "all"))

    return ratio


def l0(part: Mapping[str, Any]) -> Ratio:
    """Active features of a token."""
    return Ratio(_tensor(part["n_active"]), _tensor(part["n_tokens"]))


def cost(kind: str, *, over: str = "n_predictions") -> RatioOf:
    """Cross-entropy that `all`, the `nonlinear` or the `linear` part of the error costs a prediction, or over `all`."""

    def ratio(part: Mapping[str, Any]) -> Ratio:
        return Ratio(_tensor(part["costs"][kind]), _tensor(part["costs"][over]))

    return ratio


def rules(scorer: str, metric: str, *, kind: str = "features") -> RatioOf:
    """Mean over features of a score of explanations, of the dictionary or of `random` directions."""

    def ratio(part: Mapping[str, Any]) -> Ratio:
        rows = part[kind].get("scorers", {}).get(scorer, [])
        return mean_of([row[metric] for row in rows], is_shared=False)

    return ratio


def chance(scorer: str) -> RatioOf:
    """The balanced accuracy of not looking, for the features that have an explanation."""

    def ratio(part: Mapping[str, Any]) -> Ratio:
        rows = part["features"].get("scorers", {}).get(scorer, [])
        return mean_of([BALANCED_CHANCE] * len(rows), is_shared=False)

    return ratio


def localised(metric: str, *, table: str = "concepts") -> RatioOf:
    """Mean over concepts of a score, on held-out documents or on those in `unseen` words."""

    def ratio(part: Mapping[str, Any]) -> Ratio:
        return mean_of([row[metric] for row in part[table] or []])

    return ratio


def probed(method: str, *, metric: str = "balanced_accuracy", labels: str = "scores") -> RatioOf:
    """Mean over targets of a probe's score, with true labels or with `shuffled` ones."""

    def ratio(part: Mapping[str, Any]) -> Ratio:
        return mean_of([row[labels][method][metric] for row in part["targets"]])

    return ratio


def absorption(kind: str, *, groups: str = "hierarchy") -> RatioOf:
    """Share of mentions that are `absorbed`, or on which main features are `silent`, over pairs of child and parent."""

    def ratio(part: Mapping[str, Any]) -> Ratio:
        n = _tensor([pair["n"] for pair in part[groups]])
        return Ratio(n * _tensor([pair[kind] for pair in part[groups]]), n)

    return ratio


def _error(part: Mapping[str, Any], reconstruction: str, kind: str) -> Float64[Tensor, " documents"]:
    error = part["errors"][reconstruction]
    every, nonlinear = _tensor(error["square"]), _tensor(error["nonlinear"])
    return {"all": every, "nonlinear": nonlinear, "linear": every - nonlinear}[kind]


def _tensor(values: Sequence[float | int]) -> Float64[Tensor, " units"]:
    return torch.tensor(values, dtype=torch.float64)
