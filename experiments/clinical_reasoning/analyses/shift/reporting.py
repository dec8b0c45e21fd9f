"""SHIFT in a report: worst groups, and how much of their gap to the oracle is closed."""

from collections.abc import Mapping
from typing import Any

from experiments.clinical_reasoning.analyses.shift.group_scores import GroupScores
from experiments.clinical_reasoning.analysis import Presented
from experiments.clinical_reasoning.row_figure import row_picture
from experiments.clinical_reasoning.statistics import holm, mcnemar
from experiments.report.contents import Figure, Row, Section, Table
from experiments.report.wording import figure_of, interval_of, number

__all__ = ["present"]

WORST, ACCURACY, CLOSED = "worst-group accuracy", "accuracy", "share of gap closed"
RANDOM = "random latents"
BAR = 0.5
SHIFT = "phrase"
REMOVALS = {
    "phrase": "SHIFT",
    "labels": "SHIFT by the dictionary's labels",
    "broad": "SHIFT on the broad dictionary",
    "skyline": "as many features by attribution",
    "phrase and errors": "SHIFT and SAE errors",
    "errors": "SAE errors alone",
    "deletion": "cue's words deleted",
}
HAVE_NULL = ("phrase", "labels", "broad", "skyline")
MODES = ("probe as trained", "retrained")


def present(record: Mapping[str, Any]) -> Presented:
    """The record for people."""
    scores = GroupScores.of(record)
    table = _conditions(scores)
    tables = (table, _pairs(scores), _features(record))
    picture = row_picture(
        table.rows,
        (WORST,),
        "worst-group accuracy",
        null=RANDOM,
        lines=[(name, scores.worst(key).value or 0.0) for name, key in (("probe", "probe"), ("oracle", "oracle"))],
    )
    figure = Figure(
        "shift",
        "Accuracy of the worst group under each removal",
        "Accuracy of the worst of the four groups of care setting and diagnosis, mean over pairs of diagnoses. "
        "Whiskers are 95 % intervals over templates and seeds; grey are random latents of equal density and size.",
        picture,
    )
    section = Section("A shortcut removed by its named features (SHIFT)", _text(record), tables, (figure,))
    return Presented(section, _findings(record, scores))


def _text(record: Mapping[str, Any]) -> str:
    gaps = "; ".join(f"{place}: {number(gap)}" for place, gap in record["gap_by_reading"].items())
    n_pairs, n_seeds = len(set(record["units"]["pair"])), len(set(record["units"]["seed"]))
    return (
        "Probes tell two diagnoses apart on data in which the care setting goes with the diagnosis in "
        f"{100 * record['agreement']:.0f} % of the cases ({n_pairs} pairs of diagnoses, {n_seeds} draws of training "
        "and test cases each); they are judged on balanced cases in unseen phrasings. Where they read was settled on "
        f"other pairs of diagnoses: the answer's position if the worst group is at least {record['min_gap']} below the "
        f"oracle's there, else the mean over tokens, at the middle of the layers. Gaps there: {gaps}. Read here: "
        f"{record['reading']}. Features of the cue are named on vignettes of all diagnoses, by its whole phrase: this "
        "was settled when the labels that come with the dictionary, which name nouns alone, had been seen to miss the "
        "prepositions, on other cases than those reported. The oracle is trained on "
        "balanced data. A removed feature's writing is taken out at every site up to the one that is read."
    )


def _conditions(scores: GroupScores) -> Table:
    rows = [_row("probe on biased data", "probe", scores), _row("oracle: probe on balanced data", "oracle", scores)]
    for name, title in REMOVALS.items():
        for mode in MODES:
            if (key := f"{name}, {mode}") in scores.right:
                rows.append(_row(f"{title}, {mode}", key, scores, null=name in HAVE_NULL and f"random, {mode}"))
    return Table(
        "shift",
        "Worst-group accuracy under a planted cue",
        (WORST, ACCURACY, CLOSED),
        tuple(rows),
        nulls=(RANDOM,),
        note="Share of gap closed: (worst group - the probe's) / (the oracle's - the probe's). `retrained` is a probe "
        "trained on the same biased cases after the removal, the other rows are of the probe as it was. SHIFT removes "
        "features named after the cue's phrase, of which some have no such label with the dictionary; `by attribution` "
        "removes as many by their effect on the probe, which needs balanced data. The null takes away as many random "
        "features of the same sites with the same density and size as SHIFT, another draw for each seed.",
    )


def _row(label: str, key: str, scores: GroupScores, *, null: str | bool = False) -> Row:
    cells = {WORST: scores.worst(key), ACCURACY: scores.accuracy(key)}
    if key not in ("probe", "oracle"):
        cells[CLOSED] = scores.closed(key)
    return Row(label, cells, {RANDOM: scores.worst(null)} if isinstance(null, str) else {})


def _pairs(scores: GroupScores) -> Table:
    """Pair by pair, with McNemar's exact test of SHIFT against the probe, corrected after Holm."""
    shifted = f"{SHIFT}, retrained"
    pairs = scores.pairs
    tests = [mcnemar(scores.rights(pair, "probe"), scores.rights(pair, shifted)) for pair in pairs]
    rows = tuple(
        Row(
            pair,
            {
                "probe": scores.worst("probe", pair),
                "SHIFT, retrained": scores.worst(shifted, pair),
                "oracle": scores.worst("oracle", pair),
                "p (McNemar, Holm)": number(p),
            },
            {RANDOM: scores.worst("random, retrained", pair)},
        )
        for pair, p in zip(pairs, holm(tests), strict=True)
    )
    return Table(
        "shift_pairs",
        "Worst-group accuracy by pair of diagnoses",
        ("probe", "SHIFT, retrained", "oracle", "p (McNemar, Holm)"),
        rows,
        nulls=(RANDOM,),
        note="The test is of right and wrong answers of SHIFT against the probe, on the same cases. The null belongs "
        "to SHIFT.",
    )


def _features(record: Mapping[str, Any]) -> Table:
    by_label = record["features"]["labels"]
    rows = tuple(
        Row(
            f"{site}/{feature}",
            {
                "named on phrases": f"{name}, F1 {f1:.2f}",
                "label of the dictionary": " ".join(str(x) for x in by_label.get(site, {}).get(feature, ["none"])[:1]),
            },
        )
        for site, features in record["features"]["phrase"].items()
        for feature, (name, f1) in features.items()
    )
    return Table(
        "shift_features",
        "Features that were removed",
        ("named on phrases", "label of the dictionary"),
        rows or (Row("none", {}),),
        note="F1 on texts that did not choose the name; names from 0.5. These are names, not results: their null is "
        "that of the table above.",
    )


def _findings(record: Mapping[str, Any], scores: GroupScores) -> tuple[str, ...]:
    probe, oracle = scores.worst("probe"), scores.worst("oracle")
    found = [
        f"A probe trained on the planted cue is right in {figure_of(probe)} ({interval_of(probe)}) of its worst group, "
        f"the oracle in {figure_of(oracle)} ({interval_of(oracle)})."
    ]
    gap = scores.gap()
    if gap.low is None or gap.low <= 0:
        return (*found, "The probe did not clearly fall for the cue, so that there was no gap to close.")
    for mode in MODES:
        closed, worst = scores.closed(f"{SHIFT}, {mode}"), scores.worst(f"{SHIFT}, {mode}")
        null = figure_of(scores.worst(f"random, {mode}"))
        verdict = "reaches" if closed.value is not None and closed.value >= BAR else "misses"
        if verdict == "reaches" and (closed.low is None or closed.low < BAR):
            verdict = "reaches, though its interval does not,"
        found.append(
            f"SHIFT, {mode}: worst group {figure_of(worst)} ({interval_of(worst)}; random latents {null}), "
            f"{figure_of(closed)} ({interval_of(closed)}) of the gap closed, which {verdict} the bar of a half."
        )
    for name in ("labels", "broad", "skyline", "deletion"):
        if (key := f"{name}, retrained") in scores.right:
            closed, title = scores.closed(key), REMOVALS[name]
            title = title[0].upper() + title[1:]
            found.append(f"{title}, retrained: {figure_of(closed)} ({interval_of(closed)}) of the gap.")
    apart = scores.difference(f"{SHIFT}, retrained", "deletion, retrained")
    more = "more" if apart.low is not None and apart.low > 0 else "no more"
    found.append(
        f"SHIFT's worst group is {figure_of(apart)} ({interval_of(apart)}) better than that after deleting the cue's "
        f"words (both retrained): features do {more} here than a search for words would."
    )
    return tuple(found)
