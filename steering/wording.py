"""What people read of a steered text: the edits in words, their strength in every unit, their measured size."""

from collections.abc import Sequence

from sae.token_text import visible_text
from steering.dictionaries import Dictionaries
from steering.directions import Feature
from steering.interventions import UNITS, Intervention
from steering.positions import SPAN_PREFIX
from steering.results import AppliedEdit, Steered

__all__ = ["AT", "described_edit", "described_sources", "lines_of", "readable_text"]

AT = {
    "all": "at every token",
    "prompt": "at the prompt's tokens",
    "generated": "where new tokens are decided",
    "last": "at the prompt's last token",
}
"""Positions in words."""


def readable_text(text: str) -> str:
    """A model's text for a terminal: lines stay, control characters do not."""
    return "\n".join(visible_text(line) for line in text.split("\n"))


def described_edit(each: Intervention, dictionaries: Dictionaries) -> str:
    """An intervention in words, with the label of its feature if there is one."""
    value = "" if each.value is None else f" {each.value:g}{f' {each.unit}' if each.has_strength else ''}"
    where = AT.get(each.positions) or f"at the span {each.positions.removeprefix(SPAN_PREFIX)!r}"
    label = dictionaries.label(each.target.site, each.target.index) if isinstance(each.target, Feature) else None
    named = f" ({label.text}, F1 {label.f1:.2f})" if label else ""
    return f"{each.target.name}{named}: {each.operation}{value} {where}"


def lines_of(steered: Steered, dictionaries: Dictionaries) -> list[str]:
    """One line for each edit of a sequence; a single one that says so where there is none."""
    return [_line(each, dictionaries) for each in steered.edits] or ["unsteered"]


def described_sources(dictionaries: Dictionaries) -> list[str]:
    """What units of strength were measured by, site by site where that differs."""
    by_source: dict[str, list[str]] = {}
    for site, known in dictionaries.measured.items():
        source = f"not measured: {known}" if isinstance(known, str) else f"measured on {known.source}"
        by_source.setdefault(source, []).append(str(site))
    return [f"units of strength at {', '.join(sites)}: {source}" for source, sites in by_source.items()]


def _line(applied: AppliedEdit, dictionaries: Dictionaries) -> str:
    parts = [described_edit(applied.intervention, dictionaries), *_other_units(applied), _measured(applied)]
    return "; ".join(parts)


def _measured(applied: AppliedEdit) -> str:
    if applied.norm_ratio is None:
        return "no token was edited"
    tokens = "1 token" if applied.n_tokens == 1 else f"{applied.n_tokens} tokens"
    return f"|change|/|x| {applied.norm_ratio:.3g} over {tokens}"


def _other_units(applied: AppliedEdit) -> Sequence[str]:
    if applied.strengths is None:
        return ()
    units = [unit for unit in UNITS if unit != applied.intervention.unit]
    values = {unit: applied.strengths[unit] for unit in units}
    return ["= " + ", ".join(f"{'?' if value is None else f'{value:.3g}'} {unit}" for unit, value in values.items())]
