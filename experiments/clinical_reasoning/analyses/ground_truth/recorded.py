"""The record of the analysis, as tables and figures read it: numbers over cases, each with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.clinical_reasoning.analyses.ground_truth.ranked_nodes import Arm
from experiments.clinical_reasoning.statistics import by_template, ratio
from sae.measurement import Measurement

__all__ = ["NULLS", "Columns", "Recorded"]

NULLS = {
    "random differing nodes": "random_differing",
    "random named nodes": "random_named",
    "random features": "random_features",
    "shuffled names": "shuffled_names",
}
"""Of recall, by the names of their columns in the record."""


@dataclass(frozen=True)
class Columns:
    """One question to one basis by one method: an entry a case in every column.

    Attributes:
        case: Which cases.
        templates: Of each.
        values: The columns by name.
        sizes: Of circuits, for columns with a number a size.
        bar_size: The size that is judged.
    """

    case: list[int]
    templates: list[str]
    values: Mapping[str, Any]
    sizes: list[int]
    bar_size: int

    def at(self, name: str, size: int) -> list[float]:
        """Of a column with a number a size those of one size."""
        index = self.sizes.index(size)
        return [of_case[index] for of_case in self.values[name]]

    def mean(self, name: str, size: int | None = None) -> Measurement:
        """Mean of a column over cases; of one with a number a size, at that size."""
        return by_template(self.values[name] if size is None else self.at(name, size), self.templates)

    def nulls(self) -> dict[str, Measurement]:
        """Nulls of recall at the size that is judged."""
        return {
            title: self.mean(name, self.bar_size if name == "random_differing" else None)
            for title, name in NULLS.items()
        }

    def share(self, name: str, part: Sequence[int], whole: Sequence[int]) -> Measurement:
        """Of a column of counts the sum of some of them over the sum of others, over all cases."""
        counts = self.values[name]
        pairs = [(float(sum(row[i] for i in part)), float(sum(row[i] for i in whole))) for row in counts]
        return by_template(pairs, self.templates, ratio)

    def quotient(self, name: str, divisor: str, index: int) -> Measurement:
        """The sum of one entry of a column over the sum of that of another, over all cases."""
        rows = zip(self.values[name], self.values[divisor], strict=True)
        return by_template([(row[index], whole[index]) for row, whole in rows], self.templates, ratio)


@dataclass(frozen=True)
class Recorded:
    """A record.

    Attributes:
        record: As `measure` gives it.
    """

    record: Mapping[str, Any]

    @property
    def bar_size(self) -> int:
        """Nodes of the circuits that are judged."""
        return int(self.record["bar_size"])

    @property
    def sizes(self) -> list[int]:
        """Nodes of all circuits."""
        return list(self.record["sizes"])

    def arms(self, question: str) -> list[Arm]:
        """Every basis and method that a question was put to, in the order of the record."""
        found = ((each["basis"], each["method"]) for each in self.record["recalls"] if each["question"] == question)
        return list(dict.fromkeys(found))

    def recalls(self, arm: Arm, question: str, group: str) -> Columns:
        """What was recalled.

        Raises:
            ValueError: It was not asked.
        """
        for each in self.record["recalls"]:
            if (each["basis"], each["method"], each["question"], each["group"]) == (*arm, question, group):
                return self._columns(each, "treated" if question == "condition" else "cases")
        raise ValueError(f"the record has no {question!r} of {group!r} for {' by '.join(arm)}")

    def right(self, arm: Arm) -> Columns:
        """How nodes are named.

        Raises:
            ValueError: It was not asked.
        """
        for each in self.record["right"]:
            if (each["basis"], each["method"]) == arm:
                return self._columns(each, "cases")
        raise ValueError(f"the record does not say how nodes are named for {' by '.join(arm)}")

    def errors(self) -> list[tuple[str, list[str], Columns]]:
        """Of each basis its sites, and the effects that go through errors there."""
        return [(each["basis"], each["site_names"], self._columns(each, "cases")) for each in self.record["errors"]]

    def _columns(self, stored: Mapping[str, Any], kind: str) -> Columns:
        templates = [self.record[kind][case]["template"] for case in stored["case"]]
        return Columns(stored["case"], templates, stored, self.sizes, self.bar_size)
