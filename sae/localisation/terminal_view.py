"""A localisation run as tables for the terminal."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sae.localisation.report import ConceptScores, FamilyScores, Localisation, LocalisationTable
from sae.measurement_text import plain, with_interval
from sae.token_text import readable_token

__all__ = ["render_localisation"]

N_CONCEPTS = 12
METRICS = {"pointing": "Pointing hit rate", "f1": "F1 over tokens", "auprc": "AUPRC over tokens"}


def render_localisation(found: Localisation) -> RenderableType:
    """Means by family, then the best concepts."""
    table = found.held_out
    parts: list[RenderableType] = [
        Text(f"{found.site}, {found.d_sae} features, L0 {found.l0:.1f}", style="bold"),
        Text(
            f"Features were chosen on {found.n_chosen_on} documents and scored on {table.n_documents} others "
            f"({table.n_tokens:,} tokens). Intervals are of 95 %, over documents."
        ),
        *(_families(table, metric) for metric in METRICS),
        Text(
            "Chance is a random token; for F1 the 95th percentile of the best feature under permuted concept labels. "
            "Random is the best of as many random directions of equal L0, token the best type of token."
        ),
        _concepts(table),
    ]
    if table.left_out:
        parts.append(Text(f"{len(table.left_out)} concepts are told by too few documents and left out."))
    if found.unseen is not None:
        n = found.unseen.n_documents
        parts.append(Text(f"The same features where concepts are told in other words ({n} documents)"))
        parts += [_families(found.unseen, metric) for metric in METRICS]
    return Group(*parts)


def _families(table: LocalisationTable, metric: str) -> Table:
    view = Table(title=METRICS[metric], box=box.SIMPLE, title_justify="left")
    view.add_column("family")
    for column in ("concepts", "features", "random", "token", "chance"):
        view.add_column(column, justify="right")
    for row in table.families:
        arms = (row.features, row.random_directions, row.token_types)
        ours, random, tokens = (arm[metric] for arm in arms)
        name = row.family or "(none)"
        view.add_row(name, str(row.n_concepts), with_interval(ours), plain(random), plain(tokens), _chance(row, metric))
    return view


def _chance(row: FamilyScores, metric: str) -> str:
    if metric == "f1":
        return "" if row.permuted_f1 is None else f"{row.permuted_f1:.3f}"
    value = row.features[f"{metric}_chance"].value
    return "" if value is None else f"{value:.3f}"


def _concepts(table: LocalisationTable) -> Table:
    view = Table(title=f"The best of {len(table.concepts)} concepts", box=box.SIMPLE, title_justify="left")
    view.add_column("concept")
    for column in ("feature", "documents", "pointing", "F1", "chosen at", "token", "chance"):
        view.add_column(column, justify="right")
    for row in table.concepts[:N_CONCEPTS]:
        view.add_row(*_concept_cells(row))
    return view


def _concept_cells(row: ConceptScores) -> list[str]:
    return [
        readable_token(row.concept, length=22),
        str(row.feature),
        str(row.n_documents),
        plain(row.features["pointing"]),
        with_interval(row.features["f1"]),
        f"{row.f1_when_chosen:.2f}",
        plain(row.token_types["f1"]),
        "" if row.permuted_f1 is None else f"{row.permuted_f1:.2f}",
    ]
