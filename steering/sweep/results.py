"""What a sweep found: curves with intervals, the strength that was chosen, the comparison at equal harm."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from sae.measurement import Measurement
from steering.sweep.choosing import (
    chosen_strength,
    mean_of_units,
    measured_curve,
    perplexity_ratios,
    usable_strengths,
)
from steering.sweep.comparing import Comparison, compare_at_equal_harm
from steering.sweep.measuring import MeasuredMethod
from steering.sweep.prompts import TargetPrompts
from steering.sweep.settings import SweepSettings
from steering.sweep.unrelated_text import UnrelatedText

__all__ = ["Sweep"]

OF_PROMPTS = {
    "target_rate": ("is_top", ""),
    "target_logit": ("log_odds", "nats"),
    "kl_other_answers": ("divergence_of_others", "nats"),
    "lexicon_rate": ("has_lexicon", ""),
    "repetition": ("repetition", ""),
    "distinct_bigrams": ("distinct_bigrams", ""),
    "breaks_off": ("breaks_off", ""),
}
OF_TEXTS = {
    "kl_off_target": ("divergence", "nats"),
    "delta_ce": ("delta_ce", "nats"),
    "top1_agreement": ("agrees", ""),
    "features_moved": ("features_moved", "features"),
}
"""What a row calls a column of `MeasuredMethod`, and its unit."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """What a sweep found.

    Attributes:
        settings: What was asked.
        asked: Prompts.
        domains: SPEC of each domain's unrelated text.
        unrelated: These texts.
        methods: The edit first.
        comparison: Of them at equal harm.
    """

    settings: SweepSettings
    asked: TargetPrompts
    domains: Mapping[str, str]
    unrelated: tuple[UnrelatedText, ...]
    methods: tuple[MeasuredMethod, ...]
    comparison: Comparison = field(init=False)

    def __post_init__(self) -> None:
        chosen = chosen_strength(self.methods[0], self.asked.chooses)
        found = compare_at_equal_harm(self.methods, chosen, self.reports, seed=self.settings.seed)
        object.__setattr__(self, "comparison", found)

    @property
    def reports(self) -> Bool[Tensor, " prompts"]:
        """The prompts that numbers are from."""
        return ~self.asked.chooses

    def curves(self, method: MeasuredMethod) -> dict[str, list[Measurement]]:
        """Every number of a method with its interval, by strength: over the reporting prompts, or over the texts."""
        n_strengths, n_prompts, seed = len(method.strengths), int(self.reports.sum()), self.settings.seed
        found = {
            name: measured_curve(
                mean_of_units(method.of_prompts[column][:, self.reports]), n_prompts, n_strengths, seed=seed, unit=unit
            )
            for name, (column, unit) in OF_PROMPTS.items()
        }
        ratios = perplexity_ratios(method, self.reports)
        found["perplexity_ratio"] = measured_curve(ratios, n_prompts, n_strengths, seed=seed, unit="")
        for name, (column, unit) in OF_TEXTS.items():
            if column in method.of_texts:
                statistic = mean_of_units(method.of_texts[column])
                found[name] = measured_curve(statistic, len(self.unrelated), n_strengths, seed=seed + 1, unit=unit)
        return found

    def rows(self) -> list[dict[str, Any]]:
        """One of each method and strength, with the keys of a row of `steering generate` and more."""
        return [row for method in self.methods for row in self._rows(method)]

    def to_json(self) -> dict[str, Any]:
        """All of it, without the single prompts."""
        first, settings = self.methods[0], self.settings
        usable = first.strengths[usable_strengths(first, self.asked.chooses) - 1]
        return {
            "target": settings.target,
            "edit": settings.edit.to_json(),
            "n_prompts": {"choosing": int(self.asked.chooses.sum()), "reported": int(self.reports.sum())},
            "unrelated": {
                domain: {"corpus": spec, "n_texts": settings.n_texts} for domain, spec in self.domains.items()
            },
            "chosen": {
                "strength": first.strengths[chosen_strength(first, self.asked.chooses)],
                "usable_up_to": usable,
                "unit": first.unit,
            },
            "rows": self.rows(),
            "equal_harm": self.comparison.to_json(),
        }

    def _rows(self, method: MeasuredMethod) -> list[dict[str, Any]]:
        curves = self.curves(method)
        example = int(self.reports.nonzero()[0])
        return [
            {
                "method": method.name,
                "strength": strength,
                "unit": method.unit,
                "norm_ratio": method.norm_ratios[index],
                **dict.fromkeys(OF_TEXTS),
                **{name: of_strengths[index].value for name, of_strengths in curves.items()},
                "kl_by_domain": self._by_domain(method, index),
                "intervals": {
                    name: [of_strengths[index].low, of_strengths[index].high] for name, of_strengths in curves.items()
                },
                "example": {"prompt": self.asked.prompts[example].text, "text": method.texts[index][example]},
            }
            for index, strength in enumerate(method.strengths)
        ]

    def _by_domain(self, method: MeasuredMethod, index: int) -> dict[str, dict[str, Any]]:
        """Off-target KL on the texts of each domain."""
        found = {}
        for domain in self.domains:
            is_of = torch.tensor([text.domain == domain for text in self.unrelated])
            statistic = mean_of_units(method.of_texts["divergence"][index : index + 1, is_of])
            found[domain] = measured_curve(statistic, int(is_of.sum()), 1, seed=self.settings.seed + 1, unit="nats")[0]
        return {domain: measurement.to_json() for domain, measurement in found.items()}
