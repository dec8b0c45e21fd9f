"""The table of arms that have one dictionary each: there are no curves to read at an equal L0."""

from experiments.domain_vs_broad.comparison import ONE_L0, Comparison
from experiments.report.contents import Row, Section, Table

__all__ = ["listed_section"]

COLUMNS = {
    "L0": "l0",
    "explained variance": "explained_variance",
    "delta CE": "delta_ce",
    "loss recovered (mean)": "recovered_from_mean",
}


def listed_section(comparison: Comparison, texts: tuple[str, ...]) -> Section:
    """Every arm of a host at the L0 that it has on each text."""
    return Section(
        f"Arms, host {comparison.host} adaptation",
        f"There is {ONE_L0}. Two rows differ in L0 too, so that their difference says nothing of the texts.",
        tuple(_listed_table(comparison, text) for text in texts),
    )


def _listed_table(comparison: Comparison, text: str) -> Table:
    arms, profile, rows = comparison.arms[text], comparison.matrix.profile, []
    for name in (*profile.arms, *profile.nulls):
        l0, _ = arms.l0_range(name)
        rows.append(Row(name, {column: arms.at(name, metric, l0) for column, metric in COLUMNS.items()}))
    return Table(
        f"listed_{comparison.host}_{text}",
        f"Arms at their own L0, judged on {text} text, host {comparison.host} adaptation",
        tuple(COLUMNS),
        tuple(rows),
        note=f"{', '.join(f'`{name}`' for name in profile.nulls)}: the nulls. Intervals are over documents and seeds.",
    )
