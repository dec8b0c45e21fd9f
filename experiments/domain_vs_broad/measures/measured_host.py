"""The records of all dictionaries of one host, arm by arm."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from experiments.domain_vs_broad.arms import BROAD, TRAINED_NULLS, TRAINED_TITLES
from experiments.domain_vs_broad.measures.measuring import load_measures
from experiments.domain_vs_broad.measures.pooling import Ratio, pooled, pooled_difference, pooled_gap
from experiments.domain_vs_broad.running import Matrix
from sae.measurement import Measurement

__all__ = ["MeasuredHost", "RatioOf"]

RatioOf = Callable[[Mapping[str, Any]], Ratio]
"""From one part of a record to what is pooled."""
NOT_YET = "it was not measured yet; run the experiment again"


@dataclass(frozen=True, eq=False)
class MeasuredHost:
    """What was measured of the features of a host's dictionaries."""

    matrix: Matrix
    host: str

    @cached_property
    def records(self) -> dict[str, list[dict[str, Any]]]:
        """Of every arm, and of the null arms that were trained, one a seed."""
        matrix = self.matrix
        directories: dict[str, list[Path]] = {arm: [] for arm in matrix.profile.arms}
        for cell in matrix.cells:
            if cell.host == self.host:
                directories[cell.arm.name].append(matrix.cell_directory(cell))
        directories |= {arm: [matrix.null_directory(self.host, arm)] for arm in TRAINED_NULLS}
        found = {arm: [load_measures(path) for path in paths] for arm, paths in directories.items()}
        return {arm: [record for record in records if record is not None] for arm, records in found.items()}

    def part(self, arm: str, name: str) -> list[dict[str, Any]]:
        """A part of each seed's record, of those that have it."""
        return [record[name] for record in self.records[arm] if "reason" not in record[name]]

    def reason(self, name: str) -> str | None:
        """Why no arm of the comparison has a part; None where one does."""
        arms = self.matrix.profile.arms
        if any(self.part(arm, name) for arm in arms):
            return None
        reasons = [record[name]["reason"] for arm in arms for record in self.records[arm]]
        return reasons[0] if reasons else NOT_YET

    def gaps(self, name: str) -> dict[str, str]:
        """Arms of which a seed lacks a part, and why."""
        return {
            arm: record[name]["reason"]
            for arm, records in self.records.items()
            for record in records
            if "reason" in record[name]
        }

    def of(self, arm: str, name: str, ratio: RatioOf, **options: Any) -> Measurement:
        """A number of an arm, pooled over its seeds; options of `pooled`."""
        seeds = [ratio(part) for part in self.part(arm, name)]
        return pooled(seeds, stream=list(self.records).index(arm), **options)

    def less_arm(self, arm: str, other: str, name: str, ratio: RatioOf, **options: Any) -> Measurement:
        """The same less that of another arm; options of `pooled_difference`."""
        ratios = {each: [ratio(part) for part in self.part(each, name)] for each in self.records}
        return pooled_difference(ratios, arm, other, **options)

    def less(self, arm: str, name: str, ratio: RatioOf, null: RatioOf, **options: Any) -> Measurement:
        """The same less a null that every dictionary has of its own; options of `pooled_gap`."""
        parts = self.part(arm, name)
        return pooled_gap([ratio(part) for part in parts], [null(part) for part in parts], **options)

    def between_seeds(self, name: str, ratio: RatioOf, **options: Any) -> Measurement:
        """The same between the broad arm's second and first seed: what nothing but another seed makes of it."""
        seeds = [ratio(part) for part in self.part(BROAD, name)]
        return pooled_difference({"first": seeds[:1], "second": seeds[1:2]}, "second", "first", **options)

    def trained_nulls(self, name: str, ratio: RatioOf, **options: Any) -> dict[str, Measurement]:
        """The same of the null arms that were trained, under the titles of their columns."""
        return {
            title: self.of(arm, name, ratio, **options) for arm, title in TRAINED_TITLES.items() if self.part(arm, name)
        }
