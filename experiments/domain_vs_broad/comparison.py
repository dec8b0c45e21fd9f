"""The arms of one host, read from disk: on either text, at equal measured L0."""

from dataclasses import dataclass
from functools import cached_property

from experiments.domain_vs_broad.arms import BROAD, DOMAIN
from experiments.domain_vs_broad.cell_evaluation import TEXTS, load_tables
from experiments.domain_vs_broad.matched_l0 import Arms, matched_grid
from experiments.domain_vs_broad.matrix import Cell
from experiments.domain_vs_broad.running import Matrix
from sae.measurement import Measurement

__all__ = ["ONE_L0", "Comparison"]

N_GRID = 3
ONE_L0 = "one L0: arms are listed, not compared at equal L0"


@dataclass(frozen=True, eq=False)
class Comparison:
    """All arms of one host of a matrix, and the arms that learned nothing."""

    matrix: Matrix
    host: str

    @cached_property
    def arms(self) -> dict[str, Arms]:
        """By evaluation text."""
        matrix = self.matrix
        tables = {
            arm: [load_tables(matrix.cell_directory(cell)) for cell in self.cells(arm)] for arm in matrix.profile.arms
        } | {arm: [load_tables(matrix.null_directory(self.host, arm))] for arm in matrix.profile.nulls}
        return {text: Arms({arm: [found[text] for found in seeds] for arm, seeds in tables.items()}) for text in TEXTS}

    @property
    def has_curves(self) -> bool:
        """Whether there are several L0s, so that a curve lies between them."""
        return len(self.matrix.profile.l0) > 1

    def grid(self, text: str, arm: str = DOMAIN) -> list[float]:
        """L0s on a text that the curves of an arm and of the broad arm both cover; none where there is no such L0."""
        return matched_grid(self.arms[text], [arm, BROAD], N_GRID) if self.has_curves else []

    def middle(self, text: str, arm: str = DOMAIN) -> float | None:
        """The L0 in the middle of these on the log scale."""
        grid = self.grid(text, arm)
        return float((grid[0] * grid[-1]) ** 0.5) if grid else None

    def why_unmatched(self, text: str, arm: str = DOMAIN) -> str:
        """What an arm and the broad arm cover, where that is nothing in common, or that they have no curves."""
        if not self.has_curves:
            return ONE_L0
        ranges = ((name, *self.arms[text].l0_range(name)) for name in (arm, BROAD))
        covered = ", ".join(f"{name} {low:.3g} to {high:.3g}" for name, low, high in ranges)
        return f"no L0 is covered by both ({covered})"

    def reaches(self, arm: str, text: str, l0: float) -> bool:
        """Whether the curve of an arm covers an L0."""
        low, high = self.arms[text].l0_range(arm)
        return low <= l0 <= high

    def advantage(self, arm: str, text: str, metric: str, l0: float) -> Measurement:
        """A metric of an arm less that of the broad arm, at equal L0 on a text."""
        return self.arms[text].difference(arm, BROAD, metric, l0)

    def between_seeds(self, text: str, metric: str, l0: float) -> Measurement:
        """The same between two seeds of the broad arm: what nothing but another seed makes of it."""
        own = self.arms[text]
        seeds = own.tables[BROAD]
        if len(seeds) < 2:
            return Measurement(None, None, None, own.n_documents, reason="there is one seed only")
        pair = Arms({"first": seeds[:1], "second": seeds[1:2]})
        return pair.difference("second", "first", metric, l0)

    def cells(self, arm: str) -> list[Cell]:
        """Of this host, one a seed."""
        return [cell for cell in self.matrix.cells if (cell.host, cell.arm.name) == (self.host, arm)]
