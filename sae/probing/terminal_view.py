"""Probes and absorption as tables for the terminal."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sae.measurement_text import plain, with_interval
from sae.probing.absorption import Absorption, ArmAbsorption
from sae.probing.binary_scores import METRICS
from sae.probing.sparse_probing import SparseProbing
from sae.token_text import readable_token

__all__ = ["render_absorption", "render_probing"]

N_PAIRS = 10


def render_probing(found: SparseProbing) -> RenderableType:
    """Mean scores of each method over targets, beside shuffled labels."""
    train, validation, test = found.n_documents
    view = Table(title=f"Probes, means over {len(found.targets)} targets", box=box.SIMPLE, title_justify="left")
    view.add_column("reads")
    for metric in METRICS:
        view.add_column(metric.replace("_", " "), justify="right")
        view.add_column("shuffled", justify="right")
    for method in found.methods:
        cells = []
        for metric in METRICS:
            cells += [with_interval(found.mean[method][metric]), plain(found.shuffled[method][metric])]
        view.add_row(method, *cells)
    note = (
        f"{train} documents to train on, {validation} for the penalty, {test} to test; intervals over the last. "
        f"Saying yes to all has an F1 of {found.always_yes_f1:.2f}."
    )
    return Group(view, Text(note))


def render_absorption(found: Absorption) -> RenderableType:
    """The share of absorbed mentions beside its controls, then the most absorbed children."""
    view = Table(title=f"Absorption, {found.n_mentions} mentions", box=box.SIMPLE, title_justify="left")
    view.add_column("groups")
    for column in ("parents", "mentions absorbed", "main features silent"):
        view.add_column(column, justify="right")
    arms = {"hierarchy": found.hierarchy, "matched, no hierarchy": found.matched, "shuffled": found.shuffled}
    for name, arm in arms.items():
        view.add_row(name, str(arm.n_groups), with_interval(arm.absorbed), with_interval(arm.silent))
    return Group(view, _pairs(found.hierarchy))


def _pairs(arm: ArmAbsorption) -> Table:
    view = Table(title="The most absorbed", box=box.SIMPLE, title_justify="left")
    for column in ("parent", "child"):
        view.add_column(column)
    for column in ("mentions", "absorbed", "silent", "on siblings", "by"):
        view.add_column(column, justify="right")
    for pair in arm.pairs[:N_PAIRS]:
        view.add_row(
            readable_token(pair.parent, length=24),
            readable_token(pair.child, length=20),
            str(pair.n),
            f"{pair.absorbed:.2f}",
            f"{pair.silent:.2f}",
            "" if pair.silent_on_siblings is None else f"{pair.silent_on_siblings:.2f}",
            "" if pair.absorbing_feature is None else str(pair.absorbing_feature),
        )
    return view
