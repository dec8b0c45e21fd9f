"""Necessity and sufficiency for people: curves over the number of latents, their areas, and what they allow to say."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from experiments.clinical_reasoning.analyses.necessity_sufficiency.picture import curve_figure
from experiments.clinical_reasoning.analysis import Presented
from experiments.clinical_reasoning.statistics import by_template, ratio
from experiments.clinical_reasoning.wording import against_nulls, said
from experiments.report.contents import Row, Section, Table
from sae.measurement import Measurement

__all__ = ["present"]

Pairs = Sequence[Mapping[str, Any]]

OPERATIONS = {
    "removed": "Removed: set to their values in the changed prompt",
    "zeroed": "Turned off: set to 0",
    "restored": "Restored: put into the changed prompt",
    "held": "Alone: put into the changed prompt, all else held there",
}
CHOSEN = {"elsewhere": "chosen on other cases", "own": "chosen on the pair itself", "broad": "broad latents"}
NULLS = {"random": "random differing latents", "twins": "same push, matched latents"}
TURNED = "answers turned"
HEADLINE = 20
MOST = 0.5
"""What counts as most of the effect in words: the interval must lie on one side of it."""

TEXT = (
    "Necessity: the share of the total effect that m loses when latents of the prompt are set to what they are after "
    "the changed prompt, or to 0. Sufficiency: the share that m regains when latents of the changed prompt are set to "
    "what they are after the prompt; all else runs freely, or is held at the changed prompt's values, SAE errors "
    "included, which is the faithfulness of a circuit of these latents. Latents act at all tokens and layers. The area "
    "is under the curve over the logarithm of their number; 1 would be all of the effect from the first latent on. "
    "Half of the effect is about where both answers are even: what only destroys the answer takes half."
)


def present(record: Mapping[str, Any]) -> Presented:
    """A table an operation, one of areas, and the curves."""
    pairs, sizes = record["pairs"], record["sizes"]
    tables = [_curve_table(pairs, sizes, operation) for operation in OPERATIONS]
    areas = _area_table(pairs, sizes, record["counts"])
    figure = curve_figure(tables, sizes, [title.partition(":")[0] for title in OPERATIONS.values()])
    section = Section("Are the latents needed, and are they enough?", TEXT, (areas, *tables), (figure,))
    return Presented(section, tuple(_findings(tables, sizes)))


def _effects(pair: Mapping[str, Any], operation: str, name: str) -> list[float]:
    """What m loses of the prompt's, or gains on the changed prompt's, by size."""
    after = pair["after"][operation][name]
    if operation in ("removed", "zeroed"):
        return [pair["metric"] - m for m in after]
    return [m - pair["changed_metric"] for m in after]


def _share(pairs: Pairs, operation: str, name: str, of: Sequence[float]) -> Measurement:
    """A weighted sum of effects over sizes, over the total effect."""
    own = [pair for pair in pairs if name in pair["after"][operation]]
    values = [
        (
            sum(w * effect for w, effect in zip(of, _effects(pair, operation, name), strict=True)),
            pair["metric"] - pair["changed_metric"],
        )
        for pair in own
    ]
    return by_template(values, [pair["template"] for pair in own], ratio, higher_is_better=True)


def _one(sizes: Sequence[int], index: int) -> list[float]:
    return [float(i == index) for i in range(len(sizes))]


def _area_weights(sizes: Sequence[int]) -> list[float]:
    """Of the trapezoid rule over log size, for an area of 1 under a curve that is 1 everywhere."""
    at = [math.log(size) for size in sizes]
    weights = [0.0] * len(at)
    for i, (left, right) in enumerate(pairwise(at)):
        weights[i] += (right - left) / 2
        weights[i + 1] += (right - left) / 2
    return [weight / (at[-1] - at[0]) for weight in weights]


def _turned(pairs: Pairs, operation: str, index: int) -> Measurement:
    """Share of pairs in which the other answer comes out above, latents chosen on other cases."""
    name = "elsewhere" if any("elsewhere" in pair["after"][operation] for pair in pairs) else "own"
    own = [pair for pair in pairs if name in pair["after"][operation]]
    sign = -1 if operation in ("removed", "zeroed") else 1
    values = [float(sign * pair["after"][operation][name][index] > 0) for pair in own]
    return by_template(values, [pair["template"] for pair in own])


def _nulls(pairs: Pairs, operation: str, weights: Sequence[float]) -> dict[str, Measurement]:
    return {
        label: _share(pairs, operation, name, weights)
        for name, label in NULLS.items()
        if any(name in pair["after"][operation] for pair in pairs)
    }


def _curve_table(pairs: Pairs, sizes: Sequence[int], operation: str) -> Table:
    rows = []
    for index, size in enumerate(sizes):
        weights = _one(sizes, index)
        cells = {label: _share(pairs, operation, name, weights) for name, label in CHOSEN.items()}
        cells[TURNED] = _turned(pairs, operation, index)
        rows.append(Row(f"top {size}", cells, _nulls(pairs, operation, weights)))
    return Table(
        f"latents_{operation}",
        f"{OPERATIONS[operation]}; share of the total effect",
        (*CHOSEN.values(), TURNED),
        tuple(rows),
        tuple(rows[0].nulls),
        f"{TURNED.capitalize()}: share of pairs whose other answer then has the higher logit.",
    )


def _area_table(pairs: Pairs, sizes: Sequence[int], counts: Mapping[str, Mapping[str, int]]) -> Table:
    weights = _area_weights(sizes)
    rows = []
    for operation, title in OPERATIONS.items():
        cells = {label: _share(pairs, operation, name, weights) for name, label in CHOSEN.items()}
        rows.append(Row(title, cells, _nulls(pairs, operation, weights)))
    kept = counts["finding"]
    elsewhere = sum("elsewhere" in pair["after"]["removed"] for pair in pairs)
    return Table(
        "latent_areas",
        f"Area under the curves, {sizes[0]} to {sizes[-1]} latents",
        tuple(CHOSEN.values()),
        tuple(rows),
        tuple(NULLS.values()),
        f"{kept['kept']} of {kept['drawn']} pairs are answered right on both sides; {elsewhere} of them have findings "
        "that enough other cases share. No push stands beside latents that run alone: they are not pushed.",
    )


def _findings(tables: Sequence[Table], sizes: Sequence[int]) -> list[str]:
    size = HEADLINE if HEADLINE in sizes else sizes[-1]
    rows = {table.name.removeprefix("latents_"): _row(table, size) for table in tables}
    shares = {operation: _headline(row) for operation, row in rows.items()}
    found = [
        f"Necessity: set to their values in the changed prompt, the top {size} latents take {said(shares['removed'])} "
        f"of the effect with them, {against_nulls(shares['removed'], rows['removed'].nulls)}; turned off, "
        f"{said(shares['zeroed'])}, {against_nulls(shares['zeroed'], rows['zeroed'].nulls)}.",
        f"Sufficiency: put into the changed prompt, they bring {said(shares['restored'])} of the effect, "
        f"{against_nulls(shares['restored'], rows['restored'].nulls)}; alone, all else held, {said(shares['held'])}, "
        f"{against_nulls(shares['held'], rows['held'].nulls)}.",
        _verdict(shares["zeroed"], rows["zeroed"].cells[TURNED], size),
    ]
    broad = [row.cells[CHOSEN["broad"]] for row in (rows["removed"], rows["held"])]
    if all(isinstance(cell, Measurement) and cell.value is not None for cell in broad):
        told = [said(cell) for cell in broad if isinstance(cell, Measurement)]
        found.append(f"As many broad latents, chosen alike, take {told[0]} with them, and alone keep {told[1]}.")
    return found


def _verdict(zeroed: Measurement, turned: Measurement | str, size: int) -> str:
    """Whether a prompt does without its latents."""
    assert isinstance(turned, Measurement)
    rest = f"the other answer wins in {said(turned)} of the pairs"
    if zeroed.low is not None and zeroed.low > MOST:
        return f"Without its top {size} latents more than half of the effect is gone, they are needed; {rest}."
    if zeroed.high is not None and zeroed.high < MOST:
        return f"Specific but not necessary: without its top {size} latents most of the effect stays; {rest}."
    return f"Whether most of the effect stays without the top {size} latents is not told; {rest}."


def _row(table: Table, size: int) -> Row:
    return next(row for row in table.rows if row.label == f"top {size}")


def _headline(row: Row) -> Measurement:
    """Of latents chosen on other cases, or where there are none on the pair itself."""
    cells = [row.cells[CHOSEN[name]] for name in ("elsewhere", "own")]
    return next(
        cell for cell in cells if isinstance(cell, Measurement) and (cell.value is not None or cell is cells[-1])
    )
