"""What a feature does on other prompts than the one that is shown, beside a random one, at every strength."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from sae.measurement import Measurement
from steering.demo.demonstration import EffectCurve
from steering.interventions import Intervention
from steering.steered_host import SteeredHost
from steering.sweep.choosing import mean_of_units, measured_curve
from steering.sweep.measuring import MeasuredMethod, Watched, measure_method
from steering.sweep.methods import DirectionMethod
from steering.sweep.prompts import TargetPrompts
from steering.sweep.unrelated_text import SAME_DOMAIN, UnrelatedText

__all__ = ["effect_curves", "measure_feature"]

OF_TEXTS = (
    ("divergence", "kl_off_target", "KL", "nats"),
    ("delta_ce", "delta_ce", "Change of cross-entropy", "nats"),
    ("agrees", "agreement", "Same likeliest token", ""),
    ("features_moved", "features_moved", "Later features that move", "a token"),
)
"""Of unrelated texts: what it is called where it is measured, here, and for people; the unit."""


def measure_feature(
    steered: SteeredHost,
    edit: Intervention,
    strengths: Sequence[float],
    asked: TargetPrompts,
    unrelated: Sequence[UnrelatedText],
    *,
    max_new_tokens: int,
) -> MeasuredMethod:
    """One edit at every strength.

    Args:
        steered: The model.
        edit: Of a feature.
        strengths: Beginning with 0.
        asked: Cases and target.
        unrelated: Texts that should stay as they are.
        max_new_tokens: Most tokens of a continuation.
    """
    return measure_method(
        steered.host,
        DirectionMethod(edit.target.name, steered, edit),
        strengths,
        asked,
        unrelated,
        Watched.after(steered.dictionaries, edit.target.site),
        lexicon=[asked.target],
        max_new_tokens=max_new_tokens,
    )


def effect_curves(
    moved: MeasuredMethod,
    of_null: MeasuredMethod,
    asked: TargetPrompts,
    unrelated: Sequence[UnrelatedText],
    *,
    seed: int = 0,
) -> tuple[EffectCurve, ...]:
    """Rates and divergences with intervals over cases or texts; the target's rate first.

    Args:
        moved: Of the feature.
        of_null: Of a random feature, on the same cases and texts.
        asked: The cases; those that choose strengths are left out.
        unrelated: The texts.
        seed: Of the resampling, which pairs both.
    """
    pair = _Pair(moved, of_null, seed)
    reports = ~asked.chooses
    return (
        pair.of_prompts("is_top", reports, "target_rate", f"Other cases answered “{asked.target}”", ""),
        *_of_texts(pair, unrelated),
        pair.of_prompts("divergence_of_others", reports, "kl_other_answers", "KL over the other answers", "nats"),
    )


def _of_texts(pair: "_Pair", unrelated: Sequence[UnrelatedText]) -> Iterator[EffectCurve]:
    """Domain by domain; that of the cases has the plain names."""
    for domain in dict.fromkeys(each.domain for each in unrelated):
        chosen = torch.tensor([each.domain == domain for each in unrelated])
        suffix = "" if domain == SAME_DOMAIN else f"_{domain.replace(' ', '_')}"
        for key, name, title, unit in OF_TEXTS:
            if key in pair.moved.of_texts:
                yield pair.of_texts(key, chosen, f"{name}{suffix}", f"{title}, {domain}", unit)


@dataclass(frozen=True, eq=False)
class _Pair:
    """A feature and its null."""

    moved: MeasuredMethod
    of_null: MeasuredMethod
    seed: int

    def of_prompts(self, key: str, chosen: Bool[Tensor, " prompts"], name: str, title: str, unit: str) -> EffectCurve:
        both = (method.of_prompts[key][:, chosen] for method in (self.moved, self.of_null))
        return EffectCurve(name, title, *(self._measured(values, unit) for values in both))

    def of_texts(self, key: str, chosen: Bool[Tensor, " texts"], name: str, title: str, unit: str) -> EffectCurve:
        both = (method.of_texts[key][:, chosen] for method in (self.moved, self.of_null))
        return EffectCurve(name, title, *(self._measured(values, unit) for values in both))

    def _measured(self, values: Float64[Tensor, "strengths units"], unit: str) -> tuple[Measurement, ...]:
        n_strengths, n_units = values.shape
        return tuple(measured_curve(mean_of_units(values), n_units, n_strengths, seed=self.seed, unit=unit))
