"""What a report holds: sections of tables and figures."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sae.measurement import Measurement

__all__ = ["Figure", "Report", "Row", "Section", "Table"]


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        label: What the line is about.
        cells: Column to number, or to words where the column holds words; missing where there is nothing to say.
        nulls: Name of a null to what it scores in the table's first column of numbers.
    """

    label: str
    cells: Mapping[str, Measurement | str]
    nulls: Mapping[str, Measurement] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """Rows under the same columns.

    Attributes:
        name: Short and different from those of other tables; begins the ids of its records.
        title: For people.
        columns: In order; behind them come the nulls.
        rows: At least one.
        nulls: Names of the null columns, in order.
        note: How to read it; where there is no null, why not.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    nulls: tuple[str, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if not self.rows:
            raise ValueError(f"table {self.name!r} has no row, expected at least one")
        if not (self.nulls or self.note):
            raise ValueError(f"table {self.name!r} has neither nulls nor a note that says why not")
        for row in self.rows:
            strangers = (set(row.cells) - set(self.columns)) | (set(row.nulls) - set(self.nulls))
            if strangers:
                raise ValueError(
                    f"row {row.label!r} of table {self.name!r} fills {sorted(strangers)}, no columns of it"
                )
        labels = [row.label for row in self.rows]
        if len(set(labels)) != len(labels):
            raise ValueError(f"table {self.name!r} has two rows of one label, expected different ones: {labels}")

    def records(self) -> Iterator[tuple[str, str, str, Measurement]]:
        """Id, row, column and number of everything that was measured."""
        for row in self.rows:
            for column, cell in (*row.cells.items(), *row.nulls.items()):
                if isinstance(cell, Measurement):
                    yield f"{self.name}/{row.label}/{column}", row.label, column, cell


@dataclass(frozen=True)
class Figure:
    """A picture.

    Attributes:
        name: Short and different from those of other figures; its file's name.
        title: For people, and for those who cannot see it.
        caption: What it shows and how to read it.
        svg: The picture, as matplotlib writes it.
    """

    name: str
    title: str
    caption: str
    svg: str


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it, in this order: text, tables, figures."""

    title: str
    text: str = ""
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Report:
    """What an experiment found.

    Attributes:
        experiment: Its name, as in `experiments run NAME`.
        profile: Which size and data.
        title: For people.
        claim: The question it answers.
        findings: What it found, a sentence each; also what contradicts the claim.
        warnings: What a reader must know before any number, on every page.
        config: Everything that the numbers depend on.
        seconds: Per stage.
        sections: The rest.
    """

    experiment: str
    profile: str
    title: str
    claim: str
    findings: tuple[str, ...]
    warnings: tuple[str, ...]
    config: Mapping[str, Any]
    seconds: Mapping[str, float]
    sections: tuple[Section, ...]

    def __post_init__(self) -> None:
        for kind, names in (("table", [t.name for t in self.tables]), ("figure", [f.name for f in self.figures])):
            if len(set(names)) != len(names):
                raise ValueError(f"two {kind}s have one name, expected different ones: {names}")

    @property
    def tables(self) -> list[Table]:
        """Of all sections, in order."""
        return [table for section in self.sections for table in section.tables]

    @property
    def figures(self) -> list[Figure]:
        """Of all sections, in order."""
        return [figure for section in self.sections for figure in section.figures]
