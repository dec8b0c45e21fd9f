"""The arms of one host, read from disk: on either text, at equal measured L0."""

from dataclasses import dataclass
from functools import cached_property

from experiments.domain_vs_broad.arms import BROAD
from experiments.domain_vs_broad.cell_evaluation import NULL_ARMS, TEXTS, load_tables
from experiments.domain_vs_broad.matched_l0 import Arms, matched_grid
from experiments.domain_vs_broad.matrix import Cell
from experiments.domain_vs_broad.running import Matrix
from sae.measurement import Measurement

__all__ = ["Comparison"]

N_GRID = 4


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
        } | {arm: [load_tables(matrix.null_directory(self.host, arm))] for arm in NULL_ARMS}
        return {text: Arms({arm: [found[text] for found in seeds] for arm, seeds in tables.items()}) for text in TEXTS}

    def grid(self, text: str) -> list[float]:
        """L0s on a text that every arm's curve covers."""
        return matched_grid(self.arms[text], [*self.matrix.profile.arms, *NULL_ARMS], N_GRID)

    def middle(self, text: str) -> float:
        """The L0 in the middle of the log scale, at which single numbers are given."""
        low, *_, high = self.grid(text)
        return float((low * high) ** 0.5)

    def advantage(self, arm: str, text: str, metric: str, l0: float | None = None) -> Measurement:
        """A metric of an arm less that of the broad arm, at equal L0 on a text."""
        return self.arms[text].difference(arm, BROAD, metric, l0 or self.middle(text))

    def between_seeds(self, text: str, metric: str, l0: float | None = None) -> Measurement:
        """The same between two seeds of the broad arm: what nothing but another seed makes of it."""
        own = self.arms[text]
        seeds = own.tables[BROAD]
        if len(seeds) < 2:
            return Measurement(None, None, None, own.n_documents, reason="there is one seed only")
        pair = Arms({"first": seeds[:1], "second": seeds[1:2]})
        return pair.difference("second", "first", metric, l0 or self.middle(text))

    def cells(self, arm: str) -> list[Cell]:
        """Of this host, one a seed."""
        return [cell for cell in self.matrix.cells if (cell.host, cell.arm.name) == (self.host, arm)]
