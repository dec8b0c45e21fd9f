"""Mediation for people: shares of the total effect beside their nulls."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.stats import pearsonr, spearmanr

from experiments.clinical_reasoning.analyses.mediation.picture import mediation_figure
from experiments.clinical_reasoning.analysis import Presented
from experiments.clinical_reasoning.latent_labels import names
from experiments.clinical_reasoning.statistics import by_template, holm, mean, quantile, ratio, sign_flip
from experiments.clinical_reasoning.wording import against_nulls, said
from experiments.report.contents import Row, Section, Table
from sae.measurement import Measurement

__all__ = ["present"]

Pairs = Sequence[Mapping[str, Any]]

PLACE_WORDS = {"finding": "at the changed tokens", "everywhere": "at all tokens"}
KIND_WORDS = {
    "finding": "a finding takes another's place",
    "denial": "a denied finding takes another's place",
    "value": "a value crosses its threshold",
}
NULLS = {
    "random": "random differing latents",
    "twins": "same push, matched latents",
    "misplaced": "same push, elsewhere",
}
CHOSEN, OWN, BROAD = "chosen on other cases", "chosen on the pair itself", "broad latents, chosen alike"
LABELLED = (1, 5)
HEADLINE = 10
TEXT = (
    "m is the logit of the right answer less that of the right answer after the change; the total effect is m after "
    "the changed prompt less m. A share is the effect of setting some nodes to their values in the changed prompt, all "
    "else running freely, over the total effect: sums over pairs, 1 is all of it. Latents are chosen by attribution on "
    "other cases of the same kind with the same finding on either side (at all tokens also with the same answers); "
    "where most pairs of a kind have no such cases, on the pair itself, and the column says so. "
    "Nulls: as many latents drawn from those that differ at the same tokens; changes as long as those of the chosen "
    "latents, along latents of equal density and magnitude; the same changes at other tokens."
)


def present(record: Mapping[str, Any]) -> Presented:
    """Tables by kind of pair, mediators, labels and agreement; findings in computed words."""
    pairs, sizes = record["pairs"], record["sizes"]
    kinds = [kind for kind in KIND_WORDS if any(pair["kind"] == kind for pair in pairs)]
    p_values = _p_values(pairs, kinds, sizes)
    tables = [_share_table(pairs, kind, sizes, p_values) for kind in kinds]
    mediators = _mediator_table(pairs, kinds, record["counts"])
    labels, agreement = _label_table(pairs), _agreement_table(record["agreement"])
    figures = tuple(mediation_figure(table, mediators, list(PLACE_WORDS.values())) for table in tables)
    section = Section("What carries the effect of a change", TEXT, (*tables, mediators, *labels, agreement), figures)
    return Presented(section, tuple(_findings(tables, mediators, labels, agreement, sizes)))


def _chosen(pairs: Pairs, kind: str) -> tuple[Pairs, str]:
    """The pairs that a kind's table is about, and how their latents were chosen: `elsewhere` or `own`.

    Those whose latents could be chosen on other cases, if they are at least half; otherwise those whose could not.
    """
    own = [pair for pair in pairs if pair["kind"] == kind]
    elsewhere = [pair for pair in own if "elsewhere" in pair["effects"]["finding"]]
    if 2 * len(elsewhere) >= len(own):
        return elsewhere, "elsewhere"
    return [pair for pair in own if "elsewhere" not in pair["effects"]["finding"]], "own"


def _share(pairs: Pairs, place: str, name: str, index: int = 0) -> Measurement:
    """Effects over total effects; of pairs that have this condition."""
    own = [pair for pair in pairs if name in pair["effects"][place]]
    values = [(pair["effects"][place][name][index], pair["total_effect"]) for pair in own]
    return by_template(values, [pair["template"] for pair in own], ratio, higher_is_better=True)


def _p_values(pairs: Pairs, kinds: Sequence[str], sizes: Sequence[int]) -> dict[tuple[str, str, int], float]:
    """That chosen latents carry as much as the largest null, on average: Holm over all rows of all kinds."""
    found = {}
    for kind in kinds:
        chosen, choice = _chosen(pairs, kind)
        for place in PLACE_WORDS:
            for index, size in enumerate(sizes):
                worst = max(NULLS, key=lambda null: _value(_share(chosen, place, null, index)))
                gaps = [
                    (pair["effects"][place][choice][index] - pair["effects"][place][worst][index])
                    / pair["total_effect"]
                    for pair in chosen
                ]
                found[kind, place, size] = sign_flip(gaps, [pair["template"] for pair in chosen])
    return dict(zip(found, holm(list(found.values())), strict=True))


def _share_table(
    pairs: Pairs, kind: str, sizes: Sequence[int], p_values: Mapping[tuple[str, str, int], float]
) -> Table:
    chosen, choice = _chosen(pairs, kind)
    others = "have a finding that too few other cases have"
    if choice == "own":
        others = "share their finding with enough other cases, and are too few for a table"
    rows = []
    for place, words in PLACE_WORDS.items():
        for index, size in enumerate(sizes):
            cells: dict[str, Measurement | str] = {CHOSEN: _share(chosen, place, "elsewhere", index)}
            cells[OWN] = _share(chosen, place, "own", index)
            cells[BROAD] = _share(chosen, place, "broad", index)
            cells["p (Holm)"] = f"{p_values[kind, place, size]:.2g}"
            nulls = {label: _share(chosen, place, name, index) for name, label in NULLS.items()}
            rows.append(Row(f"top {size} {words}", cells, nulls))
    n = sum(pair["kind"] == kind for pair in pairs)
    return Table(
        f"mediation_{kind}",
        f"Share of the total effect, {KIND_WORDS[kind]}",
        (CHOSEN, OWN, BROAD, "p (Holm)"),
        tuple(rows),
        tuple(NULLS.values()),
        f"{len(chosen)} of {n} pairs: the others {others}. Latents chosen on the "
        "pair itself are optimistic: what chose them is what is measured. p: that the latents carry no more than the "
        "largest null, by sign flips of templates, Holm over all rows of all kinds. A push that only destroys the "
        "answer takes m to about 0, which is near half of the total effect.",
    )


def _mediator_table(pairs: Pairs, kinds: Sequence[str], counts: Mapping[str, Mapping[str, int]]) -> Table:
    rows = []
    for kind in kinds:
        own = [pair for pair in pairs if pair["kind"] == kind]
        templates = [pair["template"] for pair in own]
        for place, words in PLACE_WORDS.items():
            cells: dict[str, Measurement | str] = {
                "all latents": _share(own, place, "features"),
                "SAE errors": _share(own, place, "errors"),
                "whole activations": _share(own, place, "dense"),
                "latents that differ, median": by_template(
                    [float(pair["n_differing"][place]) for pair in own], templates, quantile(0.5)
                ),
                "total effect": by_template([pair["total_effect"] for pair in own], templates, mean, unit="logits"),
            }
            rows.append(Row(f"{kind}, {words}", cells))
    dropped = "; ".join(f"{kind}: {c['kept']} of {c['drawn']}" for kind, c in counts.items())
    return Table(
        "mediators",
        "All latents, SAE errors and whole activations",
        tuple(rows[0].cells),
        tuple(rows),
        note="Whole activations are the ceiling at the same tokens. Parts interact and need not add up to it. Kept are "
        f"pairs that the model answers right on both sides ({dropped}). No null: these are all nodes of a kind.",
    )


def _label_table(pairs: Pairs) -> list[Table]:
    """Whether labels name what changed, beside the labels of the next pair that changes something else.

    No table where no latent has a label, as of dictionaries that nobody labelled.
    """
    if not any(label is not None for pair in pairs for labels in pair["labels"].values() for label in labels):
        return []
    rows = []
    for place, words in PLACE_WORDS.items():
        for size in LABELLED:
            own = [pair for pair in pairs if pair["labels"][place]]
            if not own:
                continue
            templates = [pair["template"] for pair in own]
            cells: dict[str, Measurement | str] = {
                "name the change": _naming(own, own, place, size),
                "have a label": by_template(
                    [_mean([label is not None for label in pair["labels"][place][:size]]) for pair in own], templates
                ),
            }
            others = [_other(own, i) for i in range(len(own))]
            rows.append(
                Row(f"top {size} {words}", cells, {"labels of another pair": _naming(own, others, place, size)})
            )
    if not rows:
        return []
    return [
        Table(
            "mediation_labels",
            "Labels of the latents that were chosen on other cases",
            ("name the change", "have a label"),
            tuple(rows),
            ("labels of another pair",),
            "A label names the change where it is about the finding of either side, whatever it says of it; at all "
            "tokens also about either answer. Latents without a label that fits count as not naming it.",
        )
    ]


def _naming(pairs: Pairs, labelled: Sequence[Mapping[str, Any] | None], place: str, size: int) -> Measurement:
    values, templates = [], []
    for pair, other in zip(pairs, labelled, strict=True):
        if other is None:
            continue
        wanted = pair["names"]["finding"] + (pair["names"]["answer"] if place == "everywhere" else [])
        values.append(_mean([names(label, wanted) for label in other["labels"][place][:size]]))
        templates.append(pair["template"])
    return by_template(values, templates, higher_is_better=True)


def _other(pairs: Pairs, index: int) -> Mapping[str, Any] | None:
    """The next pair with other findings and answers."""
    own = pairs[index]["names"]
    taken = {*own["finding"], *own["answer"]}
    following = [*pairs[index + 1 :], *pairs[:index]]
    return next((p for p in following if not taken & {*p["names"]["finding"], *p["names"]["answer"]}), None)


def _agreement_table(agreement: Sequence[Mapping[str, Any]]) -> Table:
    """Correlation over the nodes of each pair, averaged over pairs."""
    rows = []
    for label, part in (
        ("the largest nodes and random others", lambda a: slice(None)),
        ("the largest nodes", lambda a: slice(0, a["n_largest"])),
        ("random other nodes", lambda a: slice(a["n_largest"], None)),
    ):
        columns = [(a["template"], a["attribution"][part(a)], a["exact"][part(a)]) for a in agreement]
        cells, nulls = {}, {}
        for name, statistic in (("Pearson", pearsonr), ("Spearman", spearmanr)):
            cells[name] = _correlation(columns, statistic)
        shuffled = [
            (template, random.Random(i).sample(estimate, len(estimate)), exact)
            for i, (template, estimate, exact) in enumerate(columns)
        ]
        nulls["estimates shuffled among nodes"] = _correlation(shuffled, pearsonr)
        rows.append(Row(label, cells, nulls))
    return Table(
        "attribution_agreement",
        "Integrated gradients against exact patching of single nodes",
        ("Pearson", "Spearman"),
        tuple(rows),
        ("estimates shuffled among nodes",),
        "Correlation over the nodes of a pair, mean over pairs; a pair with fewer than three nodes, or with equal "
        "effects, has none.",
    )


def _correlation(columns: Sequence[tuple[str, list[float], list[float]]], statistic: Any) -> Measurement:
    values, templates = [], []
    for template, estimate, exact in columns:
        if len(estimate) >= 3 and max(estimate) > min(estimate) and max(exact) > min(exact):
            values.append(float(statistic(estimate, exact).statistic))
            templates.append(template)
    return by_template(values, templates, higher_is_better=True)


def _findings(
    tables: Sequence[Table], mediators: Table, labels: Sequence[Table], agreement: Table, sizes: Sequence[int]
) -> list[str]:
    size = HEADLINE if HEADLINE in sizes else sizes[-1]
    found = []
    for table in tables:
        kind = table.name.removeprefix("mediation_")
        for words in PLACE_WORDS.values():
            row = _row(table, f"top {size} {words}")
            choice = next(name for name in (CHOSEN, OWN) if _is_measured(row.cells[name]))
            share, ceiling = row.cells[choice], _row(mediators, f"{kind}, {words}").cells["whole activations"]
            assert isinstance(share, Measurement)
            assert isinstance(ceiling, Measurement)
            found.append(
                f"Where {KIND_WORDS[kind]}, the top {size} latents {words} ({choice}) carry {said(share)} of the total "
                f"effect, whole activations there {said(ceiling)}: {against_nulls(share, row.nulls)}."
            )
    errors = [(row.label, row.cells["SAE errors"]) for row in mediators.rows]
    listed = "; ".join(f"{said(share)} ({label})" for label, share in errors if isinstance(share, Measurement))
    found.append(f"SAE errors by themselves carry {listed}.")
    for table in labels:
        named, nulls = table.rows[0].cells["name the change"], table.rows[0].nulls
        assert isinstance(named, Measurement)
        found.append(
            f"The first latent at the changed tokens has a label that names the change in {said(named)} of the pairs: "
            f"{against_nulls(named, nulls)}."
        )
    r, nulls = agreement.rows[0].cells["Pearson"], agreement.rows[0].nulls
    assert isinstance(r, Measurement)
    found.append(f"Attributions of single nodes follow exact patching, Pearson {said(r)}: {against_nulls(r, nulls)}.")
    return found


def _row(table: Table, label: str) -> Row:
    return next(row for row in table.rows if row.label == label)


def _is_measured(cell: Measurement | str) -> bool:
    return isinstance(cell, Measurement) and cell.value is not None


def _mean(values: Sequence[bool]) -> float:
    return sum(values) / len(values)


def _value(measured: Measurement) -> float:
    return measured.value if measured.value is not None else float("-inf")
