"""What a demonstration shows: a case at several strengths, how often the same works elsewhere, what else it does."""

from dataclasses import dataclass
from typing import Any

from sae.dictionary.labels import FeatureLabel
from sae.measurement import Measurement
from steering.demo.shown_case import ShownText
from steering.demo.word_differences import changed_tokens
from steering.directions import Feature
from steering.risk_card import RiskCard

__all__ = ["UNIT_MEANINGS", "WARNING", "Candidate", "Choice", "Demonstration", "EffectCurve"]

UNIT_MEANINGS = {
    "max_act": "the feature's largest activation on reference text",
    "resid": "a change as long as the site's median activation",
    "sigma": "one standard deviation of the stream along the feature",
    "raw": "one unit of activation",
}

WARNING = "A research tool on synthetic vignettes. Not for care."


@dataclass(frozen=True, eq=False)
class EffectCurve:
    """One quantity at every strength, on other prompts than the one that is shown.

    Attributes:
        name: Its key, such as `target_rate`.
        title: The same for people.
        of_feature: One measurement a strength.
        of_null: The same of a random feature that is active as often, moved as far.
    """

    name: str
    title: str
    of_feature: tuple[Measurement, ...]
    of_null: tuple[Measurement, ...]

    @property
    def unit(self) -> str:
        """Of the values; empty for shares."""
        return self.of_feature[0].unit

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return {
            "name": self.name,
            "title": self.title,
            "unit": self.unit,
            "of_feature": [each.to_json() for each in self.of_feature],
            "of_null": [each.to_json() for each in self.of_null],
        }


@dataclass(frozen=True)
class Candidate:
    """A feature that might have been taken.

    Attributes:
        feature: Which.
        label: What it stands for, if that is known.
        score: What candidates are ranked by.
    """

    feature: Feature
    label: str | None
    score: float

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return {"feature": self.feature.name, "label": self.label, "score": self.score}


@dataclass(frozen=True)
class Choice:
    """How target, feature and strength came about.

    Attributes:
        words: In sentences.
        score_name: What `Candidate.score` is.
        candidates: The best ones, the chosen one among them; none where the user named the feature.
    """

    words: tuple[str, ...]
    score_name: str = ""
    candidates: tuple[Candidate, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return {
            "words": list(self.words),
            "score_name": self.score_name,
            "candidates": [each.to_json() for each in self.candidates],
        }


@dataclass(frozen=True, eq=False)
class Demonstration:
    """A case, steered.

    Attributes:
        prompt: The case.
        target: What the model is brought to say.
        answer: The likeliest next token without steering.
        feature: What is moved.
        null: A random feature that is active about as often.
        label: What the feature stands for, if that is known.
        unit: Of the strengths.
        texts: The case at every strength, the first of them 0.
        chosen: Which of them was chosen, on other cases.
        max_act: The feature's largest activation on reference text, raw; None where it is active on none.
        curves: The target's rate first.
        choice: How all this was chosen.
        card: The feature's footprint.
    """

    prompt: str
    target: str
    answer: str
    feature: Feature
    null: Feature
    label: FeatureLabel | None
    unit: str
    texts: tuple[ShownText, ...]
    chosen: int
    max_act: float | None
    curves: tuple[EffectCurve, ...]
    choice: Choice
    card: RiskCard

    @property
    def strengths(self) -> tuple[float, ...]:
        """In `unit`."""
        return tuple(text.edit.intervention.value or 0.0 for text in self.texts)

    def differences(self, index: int) -> tuple[list[bool], list[bool]]:
        """Which tokens of the plain text, and of the text at a strength, are part of a difference between them."""
        plain, steered = ([token.text for token in text.tokens] for text in (self.texts[0], self.texts[index]))
        return changed_tokens(plain, steered)

    def to_json(self) -> dict[str, Any]:
        """Everything that was measured, the texts with their differences marked."""
        return {
            "prompt": self.prompt,
            "target": self.target,
            "answer": self.answer,
            "feature": self.feature.name,
            "null": self.null.name,
            "label": None if self.label is None else self.label.text,
            "label_f1": None if self.label is None else self.label.f1,
            "unit": self.unit,
            "chosen": self.chosen,
            "max_act": self.max_act,
            "texts": [self._text_json(index) for index in range(len(self.texts))],
            "curves": [curve.to_json() for curve in self.curves],
            "choice": self.choice.to_json(),
            "card": self.card.to_json(),
            "warning": WARNING,
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row a strength, with the keys that every row of a steering result has; what is not measured is null."""
        return [self._row(index) for index in range(len(self.texts))]

    def _row(self, index: int) -> dict[str, Any]:
        values = {curve.name: curve.of_feature[index].value for curve in self.curves}
        edit = self.texts[index].edit
        wanted = ("target_rate", "target_logit", "kl_off_target", "delta_ce", "repetition")
        return {
            "strength": edit.intervention.value,
            "unit": self.unit,
            "norm_ratio": edit.norm_ratio,
            **{name: values.get(name) for name in wanted},
            "text": self.texts[index].written,
        }

    def _text_json(self, index: int) -> dict[str, Any]:
        plain, steered = self.differences(index)
        return {**self.texts[index].to_json(), "differs": steered, "plain_differs": plain}
