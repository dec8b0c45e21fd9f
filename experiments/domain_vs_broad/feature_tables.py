"""Tables about features: how many of a dictionary a text uses, and how many two dictionaries share."""

from collections.abc import Sequence

from experiments.domain_vs_broad.arms import DOMAIN
from experiments.domain_vs_broad.cell_evaluation import TEXTS
from experiments.domain_vs_broad.cell_training import dictionary_name
from experiments.domain_vs_broad.comparison import Comparison
from experiments.report.contents import Row, Table
from sae.dictionary.autoencoder import SAE
from sae.evaluation.feature_use import feature_use
from sae.evaluation.matched_features import compare_dictionaries
from sae.measurement import Measurement

__all__ = ["middle_of", "overlap_table", "range_over_seeds", "use_table"]

COUNTS = {"alive": "n_alive", "dead": "n_dead", "active on over 1 %": "n_dense_1", "over 10 %": "n_dense_10"}


def use_table(comparison: Comparison) -> Table:
    """Of every arm at the middle of the wanted L0s: the features that each text uses, as the range over seeds."""
    l0 = middle_of(comparison.matrix.profile.l0)
    rows = []
    for arm in comparison.matrix.profile.arms:
        for text in TEXTS:
            uses = [
                feature_use(table.text, table.dictionaries[dictionary_name(l0)])
                for table in comparison.arms[text].tables[arm]
            ]
            cells = {title: range_over_seeds([getattr(use, count) for use in uses]) for title, count in COUNTS.items()}
            rows.append(Row(f"{arm}, on {text} text", cells))
    profile = comparison.matrix.profile
    return Table(
        f"use_{comparison.host}",
        f"Features in use at wanted L0 {l0:g}, of {profile.d_sae}, host {comparison.host} adaptation",
        tuple(COUNTS),
        tuple(rows),
        note=f"Alive: active in two documents or more of {profile.evaluated:,} tokens; dead: active on none of them. "
        "Counts have no null; two numbers are the range over seeds.",
    )


def overlap_table(comparison: Comparison) -> Table:
    """How many features of the domain arm other arms have, beside the domain arm's second seed."""
    profile = comparison.matrix.profile
    l0 = middle_of(profile.l0)
    a, second = _dictionary(comparison, DOMAIN, 0, l0), _dictionary(comparison, DOMAIN, 1, l0)
    rows = []
    for arm in profile.arms:
        if arm == DOMAIN or (b := _dictionary(comparison, arm, 0, l0)) is None or a is None:
            continue
        found = compare_dictionaries(a, b, baseline=second)
        cells: dict[str, Measurement | str] = {"shared with domain": found.shared}
        if found.baseline is not None:
            cells["domain's second seed"] = found.baseline
        rows.append(Row(arm, cells, {"turned at random": found.null}))
    return Table(
        f"overlap_{comparison.host}",
        f"Features of the domain arm that other arms have, wanted L0 {l0:g}, host {comparison.host} adaptation",
        ("shared with domain", "domain's second seed"),
        tuple(rows),
        ("turned at random",),
        "Shared: cosines of what the two read and write are both at least .7, one partner each. Intervals are over "
        "features. What another seed of the same arm does not share is no difference between texts.",
    )


def middle_of(l0: Sequence[float]) -> float:
    """The wanted L0 in the middle, the sparser one of two."""
    return sorted(l0)[(len(l0) - 1) // 2]


def range_over_seeds(numbers: Sequence[int]) -> str:
    """The smallest and the largest count, one number where they are equal."""
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def _dictionary(comparison: Comparison, arm: str, index: int, l0: float) -> SAE | None:
    cells = comparison.cells(arm)
    if index >= len(cells):
        return None
    return SAE.load(comparison.matrix.cell_directory(cells[index]) / dictionary_name(l0))
