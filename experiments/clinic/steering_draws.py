"""Resampling of cases and of diagnoses, together, and what a mean over both is in every draw."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from sae.measurement import resampled_counts

__all__ = ["CaseDraws", "means_by_diagnosis"]

N_DRAWS = 1000


@dataclass(frozen=True, eq=False)
class CaseDraws:
    """How often each case and each diagnosis counts in each draw; in the first draw, the value itself, once.

    Cases and diagnoses are drawn independently of each other, since both are samples: of patients, and of what one
    could want to hear.
    """

    cases: Float64[Tensor, "draws cases"]
    diagnoses: Float64[Tensor, "draws diagnoses"]

    @classmethod
    def of(cls, counted: Bool[Tensor, " cases"], n_diagnoses: int, *, seed: int) -> "CaseDraws":
        """Draws of the counted cases; the others never count."""
        cases = torch.zeros(N_DRAWS + 1, len(counted), dtype=torch.float64)
        cases[0, counted] = 1.0
        cases[1:, counted] = resampled_counts(int(counted.sum()), n_draws=N_DRAWS, seed=seed)
        once = torch.ones(1, n_diagnoses, dtype=torch.float64)
        return cls(cases, torch.cat([once, resampled_counts(n_diagnoses, n_draws=N_DRAWS, seed=seed + 1)]))

    def means(
        self, outcomes: Float64[Tensor, "*steps diagnoses cases"], counts: Bool[Tensor, "diagnoses cases"]
    ) -> Float64[Tensor, "draws *steps"]:
        """The mean over diagnoses of means over cases.

        Args:
            outcomes: Of each diagnosis and case, perhaps at several steps.
            counts: Which of them count; a diagnosis without any is left out.

        Returns:
            One value a draw and step; NaN where nothing counts.
        """
        means, n_cases = _means(outcomes, counts, self.cases)
        weights = (self.diagnoses * (n_cases > 0)).view(len(means), *(1,) * (outcomes.ndim - 2), -1)
        return (means.nan_to_num() * weights).sum(-1) / weights.sum(-1)


def means_by_diagnosis(
    outcomes: Float64[Tensor, "*steps diagnoses cases"], counts: Bool[Tensor, "diagnoses cases"]
) -> Float64[Tensor, "*steps diagnoses"]:
    """Means over cases; NaN where none counts."""
    everything = torch.ones(1, outcomes.shape[-1], dtype=torch.float64)
    return _means(outcomes, counts, everything)[0][0]


def _means(
    outcomes: Float64[Tensor, "*steps diagnoses cases"],
    counts: Bool[Tensor, "diagnoses cases"],
    case_counts: Float64[Tensor, "draws cases"],
) -> tuple[Float64[Tensor, "draws *steps diagnoses"], Float64[Tensor, "draws diagnoses"]]:
    sums = torch.einsum("wc,...dc->w...d", case_counts, outcomes * counts)
    n_cases = case_counts @ counts.double().T
    return sums / n_cases.view(len(case_counts), *(1,) * (outcomes.ndim - 2), -1), n_cases
