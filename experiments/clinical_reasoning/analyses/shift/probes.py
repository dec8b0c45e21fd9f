"""The probe that learns a diagnosis from a frozen host's activations."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sae.probing.logistic_probe import Probe, Standardised, fit_probe, standardised

__all__ = ["DiagnosisProbe", "worst_group"]

FITTED = 0.75
"""Share of the training cases that are fitted on; the others choose the penalty. Both are as biased as they come."""


@dataclass(frozen=True, eq=False)
class DiagnosisProbe:
    """Logistic regression on standardised activations."""

    units: Standardised
    probe: Probe

    @classmethod
    def trained(cls, x: Float[Tensor, "cases d_model"], diagnoses: Sequence[int]) -> "DiagnosisProbe":
        """Fitted to the first cases, with the penalty that does best on the last.

        Args:
            x: What is read of each case, in random order.
            diagnoses: 0 or 1; both must occur among the first and among the last.
        """
        rows, y = x.double().numpy(), torch.tensor(diagnoses).numpy()
        n_fitted = round(FITTED * len(rows))
        units = standardised(rows[:n_fitted])
        return cls(units, fit_probe(units(rows[:n_fitted]), y[:n_fitted], units(rows[n_fitted:]), y[n_fitted:]))

    @property
    def direction(self) -> Float[Tensor, " d_model"]:
        """What the log-odds are the projection on, but for a constant, in units of the stream."""
        return torch.from_numpy(self.probe.model.coef_[0] / self.units.scale).float()

    def is_right(self, x: Float[Tensor, "cases d_model"], diagnoses: Sequence[int]) -> Bool[Tensor, " cases"]:
        """Whether it says each case's diagnosis."""
        says_one = torch.from_numpy(self.probe.scores(self.units(x.double().numpy())) > 0)
        return says_one == torch.tensor(diagnoses).bool()


def worst_group(right: Bool[Tensor, " cases"], diagnoses: Sequence[int], cues: Sequence[int]) -> float:
    """Lowest accuracy over the four groups of diagnosis and cue; groups without cases are left out."""
    group = 2 * torch.tensor(diagnoses) + torch.tensor(cues)
    return min(right[group == each].float().mean().item() for each in group.unique())
