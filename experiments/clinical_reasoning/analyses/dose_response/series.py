"""One vignette with a measured value swept over its range: doses."""

from dataclasses import dataclass, replace
from typing import Any

from experiments.clinic.knowledge import FINDINGS
from experiments.clinical_reasoning.alignment import misalignment
from experiments.clinical_reasoning.vignette_pair import VignettePair
from sae.annotated_text import TextSpan

__all__ = ["N_DOSES", "Series", "dose_series", "finding_of"]

N_DOSES = 24
"""Values of a series at most, evenly over the range."""


@dataclass(frozen=True)
class Series:
    """A vignette at many values of one quantity.

    Attributes:
        finding: What the value expresses on one side of its threshold.
        base: The vignette where the finding is absent, and the one where it is present.
        doses: The values, from the side without the finding to the side with it.
        pairs: For each dose the base beside the same vignette at that dose; all with the answers of `base`.
    """

    finding: str
    base: VignettePair
    doses: tuple[float, ...]
    pairs: tuple[VignettePair, ...]

    @property
    def is_present(self) -> tuple[bool, ...]:
        """Whether each dose expresses the finding, by the world's threshold."""
        measurement = FINDINGS[self.finding].measurement
        assert measurement is not None
        return tuple(measurement.is_present(dose) for dose in self.doses)


def finding_of(pair: VignettePair) -> str:
    """The finding whose value crosses its threshold."""
    return pair.changed_from.partition(":")[2]


def dose_series(tokenizer: Any, pair: VignettePair) -> Series:
    """The series of a pair whose value crosses its threshold; doses of another token length are left out."""
    finding = finding_of(pair)
    measurement = FINDINGS[finding].measurement
    assert measurement is not None, "a pair of this kind has a measured value"
    base = _turned(pair) if pair.changed_from.startswith("pos:") else pair
    values = sorted({*measurement.values(True), *measurement.values(False)}, reverse=not measurement.is_above)
    steps = min(N_DOSES, len(values))
    chosen = [values[round(i * (len(values) - 1) / (steps - 1))] for i in range(steps)]
    dosed = [(dose, _at_dose(base, measurement.phrase(dose))) for dose in chosen]
    fitting = [(dose, each) for dose, each in dosed if _fits(tokenizer, each)]
    return Series(finding, base, tuple(dose for dose, _ in fitting), tuple(each for _, each in fitting))


def _fits(tokenizer: Any, pair: VignettePair) -> bool:
    """The base's own value is a dose like any other."""
    return pair.prompt == pair.changed_prompt or misalignment(tokenizer, pair) is None


def _turned(pair: VignettePair) -> VignettePair:
    return replace(
        pair,
        prompt=pair.changed_prompt,
        changed_prompt=pair.prompt,
        answer=pair.changed_answer,
        changed_answer=pair.answer,
        changed_from=pair.changed_to,
        changed_to=pair.changed_from,
        spans=pair.changed_spans,
        changed_spans=pair.spans,
    )


def _at_dose(base: VignettePair, phrase: str) -> VignettePair:
    """The base beside itself with another value, which is named `dose:FINDING` on whichever side it is."""
    told = next(span for span in base.spans if span.concept == base.changed_from)
    finding = base.changed_from.partition(":")[2]
    shift = len(phrase) - (told.end - told.start)
    changed_spans = [
        TextSpan(told.start, told.start + len(phrase), f"dose:{finding}")
        if span == told
        else (replace(span, start=span.start + shift, end=span.end + shift) if span.start >= told.end else span)
        for span in base.spans
    ]
    return replace(
        base,
        changed_prompt=base.prompt[: told.start] + phrase + base.prompt[told.end :],
        changed_to=f"dose:{finding}",
        changed_spans=tuple(changed_spans),
    )
