"""The record of the analysis, as tables and figures read it: numbers over cases, each with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from experiments.clinical_reasoning.analyses.ground_truth.ranked_nodes import Arm
from sae.measurement import Measurement, bootstrap

__all__ = ["NULLS", "Recorded", "mean_over_cases", "ratio_over_cases"]

NULLS = {
    "random differing nodes": "random_differing",
    "random named nodes": "random_named",
    "random features": "random_features",
    "shuffled names": "shuffled_names",
}
"""Of recall, by the names of their columns in the record."""


def mean_over_cases(values: Sequence[float]) -> Measurement:
    """Mean with its interval over cases; each case is a template of its own."""
    counted = torch.tensor(values, dtype=torch.float64)
    return bootstrap(lambda counts: counts @ counted / counts.sum(dim=1), len(values), higher_is_better=None)


def ratio_over_cases(parts: Sequence[float], wholes: Sequence[float]) -> Measurement:
    """Sum over sum, with its interval over cases; without a value where all wholes are 0."""
    of_case = torch.tensor([list(parts), list(wholes)], dtype=torch.float64)
    return bootstrap(lambda counts: (counts @ of_case[0]) / (counts @ of_case[1]), len(parts))


@dataclass(frozen=True)
class Recorded:
    """A record.

    Attributes:
        record: As `measure` gives it.
    """

    record: Mapping[str, Any]

    @property
    def sizes(self) -> list[int]:
        """Nodes of the circuits."""
        return list(self.record["sizes"])

    @property
    def bar_size(self) -> int:
        """The size that is judged."""
        return int(self.record["bar_size"])

    def arms(self, question: str) -> list[Arm]:
        """Every basis and method that a question was put to, in the order of the record."""
        found = ((each["basis"], each["method"]) for each in self.record["recalls"] if each["question"] == question)
        return list(dict.fromkeys(found))

    def columns(self, arm: Arm, question: str, group: str) -> Mapping[str, Any]:
        """What was recalled, one entry a case.

        Raises:
            ValueError: It was not asked.
        """
        for each in self.record["recalls"]:
            if (each["basis"], each["method"], each["question"], each["group"]) == (*arm, question, group):
                return dict(each)
        raise ValueError(f"the record has no {question!r} of {group!r} for {' by '.join(arm)}")

    def recall(self, arm: Arm, question: str, group: str, size: int) -> Measurement:
        """Mean recall of circuits of a size."""
        return mean_over_cases(self.at_size(self.columns(arm, question, group)["found"], size))

    def column(self, arm: Arm, question: str, group: str, name: str) -> Measurement:
        """Mean of one of the columns that have one number a case; a null by size is taken at the size that is judged."""
        values = self.columns(arm, question, group)[name]
        return mean_over_cases(self.at_size(values, self.bar_size) if name == "random_differing" else values)

    def nulls(self, arm: Arm, question: str, group: str, names: Sequence[str] = tuple(NULLS)) -> dict[str, Measurement]:
        """Nulls of recall at the size that is judged."""
        return {name: self.column(arm, question, group, NULLS[name]) for name in names}

    def at_size(self, by_size: Sequence[Sequence[float]], size: int) -> list[float]:
        """One number a case, of circuits of one size."""
        index = self.sizes.index(size)
        return [of_case[index] for of_case in by_size]

    def right(self, arm: Arm) -> Mapping[str, Any]:
        """How nodes are named.

        Raises:
            ValueError: It was not asked.
        """
        for each in self.record["right"]:
            if (each["basis"], each["method"]) == arm:
                return dict(each)
        raise ValueError(f"the record does not say how nodes are named for {' by '.join(arm)}")
