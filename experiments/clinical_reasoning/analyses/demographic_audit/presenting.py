"""The audit for people: a row a mention, and a row for each way to take mentions away."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.clinical_reasoning.analyses.demographic_audit.mentions import IRRELEVANT
from experiments.clinical_reasoning.analyses.demographic_audit.picture import audit_figure
from experiments.clinical_reasoning.analysis import Presented
from experiments.clinical_reasoning.statistics import by_template, holm, mcnemar, ratio, sign_flip
from experiments.clinical_reasoning.wording import said
from experiments.report.contents import Row, Section, Table
from sae.measurement import Measurement

__all__ = ["present"]

Pairs = Sequence[Mapping[str, Any]]

SIZE, MEAN, FLIPS, RIGHT, P = "mean |effect|", "mean effect", "answers that change", "accuracy", "p (Holm)"
LEFT = "mean |effect| left"
MEDIATORS = {
    "labelled": "labelled latents",
    "chosen": "chosen latents",
    "features": "all latents",
    "errors": "SAE errors",
    "dense": "whole activations at the mention",
}
TWINS = {"labelled twins": "twins of labelled", "chosen twins": "twins of chosen"}
REMOVALS = {
    "nothing": "nothing taken away",
    "ablate labelled": "labelled latents set to 0",
    "ablate chosen": "chosen latents set to 0",
    "delete tokens": "tokens of the mention deleted",
    "ask": "told beforehand that it does not matter",
}
TWIN_NULL = "twins set to 0"
TEXT = (
    "One mention is swapped for another that must not matter. m is the logit of the right answer less that of the "
    "runner-up; the effect is m after the changed prompt less m after the prompt. Labelled latents are those whose "
    "label names the mention; chosen ones have the largest attributions on other cases. Twins are random latents of "
    "equal density and magnitude. The null of the effects is the same for words that no one is described by: a "
    "relative's disease or a history."
)


def present(record: Mapping[str, Any]) -> Presented:
    """Tables of effects, mediators and removals; findings in computed words."""
    pairs: Pairs = record["pairs"]
    audited = [pair for pair in pairs if pair["mention"] != IRRELEVANT]
    names = list(dict.fromkeys(pair["words"] for pair in sorted(audited, key=lambda pair: pair["words"])))
    effects = _effect_table(pairs, names)
    mediation = _mediation_table(audited, names, record["n_latents"])
    removals = _removal_table(audited)
    section = Section("Audit of mentions that must not matter", TEXT, (effects, mediation, removals))
    section = Section(section.title, section.text, section.tables, (audit_figure(effects, removals),))
    return Presented(section, tuple(_findings(effects, mediation, removals)))


def _measured(pairs: Pairs, value: Callable[[Mapping[str, Any]], float], **options: Any) -> Measurement:
    return by_template([float(value(pair)) for pair in pairs], [pair["template"] for pair in pairs], **options)


def _effect_table(pairs: Pairs, names: Sequence[str]) -> Table:
    groups = {name: [pair for pair in pairs if pair["words"] == name] for name in names}
    p_values = holm([sign_flip([_signed(pair) for pair in own], _templates(own)) for own in groups.values()])
    null = _measured([pair for pair in pairs if pair["words"] == IRRELEVANT], _size, unit="logits")
    rows = []
    for (name, own), p in zip(groups.items(), p_values, strict=True):
        cells: dict[str, Measurement | str] = {
            SIZE: _measured(own, _size, unit="logits"),
            MEAN: _measured(own, _signed, unit="logits"),
            FLIPS: _flips(own, "nothing"),
            RIGHT: _accuracy(own, "nothing"),
            "m": _measured(own, lambda pair: pair["metric"], unit="logits"),
            "pairs": str(len(own)),
            P: f"{p:.2g}",
        }
        rows.append(Row(name, cells, {IRRELEVANT: null}))
    return Table(
        "audit_effects",
        "What a mention does to the answer",
        (SIZE, MEAN, FLIPS, RIGHT, "m", "pairs", P),
        tuple(rows),
        (IRRELEVANT,),
        "The mean effect is from the first word to the second. p: that it is 0, by sign flips of templates, Holm over "
        "mentions. No pair was left out.",
    )


def _templates(pairs: Pairs) -> list[str]:
    return [pair["template"] for pair in pairs]


def _size(pair: Mapping[str, Any]) -> float:
    return abs(pair["total_effect"])


def _signed(pair: Mapping[str, Any]) -> float:
    return float(pair["sign"] * pair["total_effect"])


def _mediation_table(pairs: Pairs, names: Sequence[str], n_latents: Mapping[str, Mapping[str, int]]) -> Table:
    rows = []
    for name in names:
        own = [pair for pair in pairs if pair["words"] == name]
        mention = own[0]["mention"]
        cells: dict[str, Measurement | str] = {
            label: _share(own, key) for key, label in MEDIATORS.items() if key in own[0]["moved"]
        }
        cells["latents"] = f"{n_latents['labelled'][mention]} labelled, {n_latents['chosen'][mention]} chosen"
        nulls = {label: _share(own, key) for key, label in TWINS.items() if key in own[0]["moved"]}
        rows.append(Row(name, cells, nulls))
    return Table(
        "audit_mediation",
        "Which nodes carry the effect of a mention",
        (*MEDIATORS.values(), "latents"),
        tuple(rows),
        tuple(TWINS.values()),
        "Slope through the origin of the effect of moving some nodes on the total effect, over pairs: 1 is all of it, "
        "whatever its sign; parts interact and need not add up. Latents and errors are moved at all tokens, whole "
        "activations at the mention only: what the first layer reads of it does not pass through these sites. Empty "
        "where no latent is labelled so.",
    )


def _share(pairs: Pairs, name: str) -> Measurement:
    values = [(pair["moved"][name] * pair["total_effect"], pair["total_effect"] ** 2) for pair in pairs]
    return by_template(values, _templates(pairs), ratio)


def _removal_table(pairs: Pairs) -> Table:
    before = [right for pair in pairs for right in pair["after"]["nothing"]["right"]]
    p_values = holm(
        [
            mcnemar(before, [right for pair in pairs for right in pair["after"][name]["right"]])
            for name in REMOVALS
            if name != "nothing"
        ]
    )
    by_name = dict(zip((name for name in REMOVALS if name != "nothing"), p_values, strict=True))
    rows = []
    for name, label in REMOVALS.items():
        cells: dict[str, Measurement | str] = {
            LEFT: _left(pairs, name),
            FLIPS: _flips(pairs, name),
            RIGHT: _accuracy(pairs, name),
            P: f"{by_name[name]:.2g}" if name in by_name else "",
        }
        nulls = {}
        if f"{name} twins" in pairs[0]["after"]:
            cells["accuracy, twins set to 0"] = _accuracy(pairs, f"{name} twins")
            nulls[TWIN_NULL] = _left(pairs, f"{name} twins")
        rows.append(Row(label, cells, nulls))
    return Table(
        "audit_removal",
        "What taking mentions away does",
        (LEFT, FLIPS, RIGHT, P, "accuracy, twins set to 0"),
        tuple(rows),
        (TWIN_NULL,),
        "Over all audited mentions; latents of all of them are set to 0 at all tokens. Deleted tokens leave no "
        "effect by definition, where nothing else differs: what counts is the accuracy. p: that accuracy is as before, "
        "McNemar over both prompts of all pairs, Holm over rows.",
    )


def _left(pairs: Pairs, name: str) -> Measurement:
    def size(pair: Mapping[str, Any]) -> float:
        first, second = pair["after"][name]["metrics"]
        return abs(second - first)

    return _measured(pairs, size, unit="logits", higher_is_better=False)


def _flips(pairs: Pairs, name: str) -> Measurement:
    return _measured(pairs, lambda pair: not pair["after"][name]["same"])


def _accuracy(pairs: Pairs, name: str) -> Measurement:
    return _measured(pairs, lambda pair: sum(pair["after"][name]["right"]) / 2, higher_is_better=True)


def _findings(effects: Table, mediation: Table, removals: Table) -> list[str]:
    found = []
    for row in effects.rows:
        size, mean, flips = (_number(row, name) for name in (SIZE, MEAN, FLIPS))
        null = row.nulls[IRRELEVANT]
        found.append(
            f"{row.label}: changes m by {said(size)} in size ({_compared(size, null)} the {said(null)} of irrelevant "
            f"words) and by {said(mean)} on average (p {row.cells[P]}, Holm); the answer changes in {said(flips)} of "
            "the pairs."
        )
    for row in mediation.rows:
        parts = [(MEDIATORS["labelled"], "twins of labelled"), (MEDIATORS["chosen"], "twins of chosen")]
        said_parts = [
            f"{label} carry {said(_number(row, label))} of it, their twins {said(row.nulls[null])}"
            for label, null in parts
            if label in row.cells
        ]
        if MEDIATORS["labelled"] not in row.cells:
            said_parts.append("no latent is labelled with the mention")
        found.append(f"{row.label}: {'; '.join(said_parts)}; SAE errors {said(_number(row, MEDIATORS['errors']))}.")
    start = removals.rows[0]
    for row in removals.rows[1:]:
        found.append(
            f"{row.label.capitalize()}: the mean |effect| goes from {said(_number(start, LEFT))} to "
            f"{said(_number(row, LEFT))}, accuracy from {said(_number(start, RIGHT))} to {said(_number(row, RIGHT))} "
            f"(p {row.cells[P]}, Holm)"
            + (f"; with twins {said(row.nulls[TWIN_NULL])}." if TWIN_NULL in row.nulls else ".")
        )
    return found


def _compared(measured: Measurement, null: Measurement) -> str:
    """By intervals that do not meet."""
    if None in (measured.low, measured.high, null.low, null.high):
        return "not told apart from"
    assert measured.low is not None
    assert measured.high is not None
    assert null.low is not None
    assert null.high is not None
    return "above" if measured.low > null.high else "below" if measured.high < null.low else "not told apart from"


def _number(row: Row, column: str) -> Measurement:
    cell = row.cells[column]
    assert isinstance(cell, Measurement)
    return cell
