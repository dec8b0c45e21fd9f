"""The tables of the report."""

from collections.abc import Iterator

from experiments.domain_vs_broad.arms import BROAD, DOMAIN, NULL_TITLES
from experiments.domain_vs_broad.cell_evaluation import TEXTS
from experiments.domain_vs_broad.comparison import Comparison
from experiments.report.contents import Row, Table
from sae.evaluation.position_classes import CLASSES
from sae.measurement import Measurement

__all__ = ["class_table", "host_table", "matched_table", "two_by_two_table"]

EV, COST, RECOVERED = "explained_variance", "delta_ce", "recovered_from_mean"
SEEDS = "second seed"
DIFFERENCE = "explained variance less broad"


def two_by_two_table(comparison: Comparison) -> Table:
    """Trained on each text, judged on each text, at one L0 a judged text."""
    rows = []
    for text in TEXTS:
        l0, arms = comparison.middle(text), comparison.arms[text]
        if l0 is None:
            rows.append(Row(f"judged on {text}", {"explained variance": comparison.why_unmatched(text)}))
            continue
        nulls = {
            NULL_TITLES[name]: arms.at(name, EV, l0)
            for name in comparison.matrix.profile.nulls
            if comparison.reaches(name, text, l0)
        }
        for arm in (DOMAIN, BROAD):
            cells: dict[str, Measurement | str] = {
                "explained variance": arms.at(arm, EV, l0),
                "delta CE": arms.at(arm, COST, l0),
                "loss recovered (mean)": arms.at(arm, RECOVERED, l0),
                "at L0": f"{l0:.3g}",
            }
            rows.append(Row(f"trained on {arm}, judged on {text}", cells, nulls))
    return Table(
        f"two_by_two_{comparison.host}",
        f"Trained and judged on either text, host {comparison.host} adaptation",
        ("explained variance", "delta CE", "loss recovered (mean)", "at L0"),
        tuple(rows),
        tuple(NULL_TITLES.values()),
        "Every pair of rows is at the same measured L0 on the judged text. Nulls are explained variances at that L0, "
        "where they reach it; that of a host of random weights is of its own activations.",
    )


def matched_table(comparison: Comparison, text: str) -> Table:
    """Every arm at every L0 of the grid, less the broad arm."""
    return Table(
        f"matched_{comparison.host}_{text}",
        f"Arms less the broad arm at equal L0, judged on {text} text, host {comparison.host} adaptation",
        (DIFFERENCE, "delta CE less broad", "explained variance", "delta CE"),
        tuple(_matched_rows(comparison, text)),
        (SEEDS,),
        "Each arm at L0s that its curve and that of the broad arm both cover. Differences are paired by document; "
        "intervals are over documents and seeds. The null is the difference between two seeds of the broad arm.",
    )


def _matched_rows(comparison: Comparison, text: str) -> Iterator[Row]:
    arms = comparison.arms[text]
    for arm in comparison.matrix.profile.arms:
        if arm == BROAD:
            continue
        if not (grid := comparison.grid(text, arm)):
            yield Row(arm, {DIFFERENCE: comparison.why_unmatched(text, arm)})
        for l0 in grid:
            cells: dict[str, Measurement | str] = {
                DIFFERENCE: comparison.advantage(arm, text, EV, l0),
                "delta CE less broad": comparison.advantage(arm, text, COST, l0),
                "explained variance": arms.at(arm, EV, l0),
                "delta CE": arms.at(arm, COST, l0),
            }
            yield Row(f"{arm}, L0 {l0:.3g}", cells, {SEEDS: comparison.between_seeds(text, EV, l0)})


def class_table(comparison: Comparison) -> Table | None:
    """Explained variance by kind of position on the domain's text; None where no position is known to
    be special, or the domain and the broad arm share no L0.
    """
    arms, l0 = comparison.arms[DOMAIN], comparison.middle(DOMAIN)
    if l0 is None:
        return None
    n_tokens = arms.tables[DOMAIN][0].text.n_tokens.sum(0)
    known = [name for name, n in zip(CLASSES, n_tokens.tolist(), strict=True) if n]
    if len(known) < 2:
        return None
    every = [*comparison.matrix.profile.arms, *comparison.matrix.profile.nulls]
    names = [name for name in every if comparison.reaches(name, DOMAIN, l0)]
    rows = [Row(name, {kind: arms.at(name, EV, l0, position_class=kind) for kind in known}) for name in names]
    return Table(
        f"classes_{comparison.host}",
        f"Explained variance by kind of position at L0 {l0:.3g}, host {comparison.host} adaptation",
        tuple(known),
        tuple(rows),
        note="Each kind of position about its own mean; arms that reach this L0. `random` and `pca` learned nothing, "
        "`frozen-decoder` and `random-host` only in part; they are the nulls.",
    )


def host_table(comparisons: list[Comparison]) -> Table:
    """What the domain's text gains a dictionary, before and after the host was adapted."""
    rows = []
    for comparison in comparisons:
        for text in TEXTS:
            label, l0 = f"host {comparison.host}, on {text}", comparison.middle(text)
            if l0 is None:
                rows.append(Row(label, {"at L0": comparison.why_unmatched(text)}))
                continue
            cells: dict[str, Measurement | str] = {
                "explained variance, domain less broad": comparison.advantage(DOMAIN, text, EV, l0),
                "delta CE, domain less broad": comparison.advantage(DOMAIN, text, COST, l0),
                "at L0": f"{l0:.3g}",
            }
            null = {SEEDS: comparison.between_seeds(text, EV, l0)}
            rows.append(Row(label, cells, null))
    return Table(
        "hosts",
        "What training on domain text changes, before and after the host's adaptation",
        ("explained variance, domain less broad", "delta CE, domain less broad", "at L0"),
        tuple(rows),
        (SEEDS,),
        "The null is the difference in explained variance between two seeds of the broad arm.",
    )
