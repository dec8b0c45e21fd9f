"""How often and how strongly each feature of a dictionary is active."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from sae.inspection.encoded_batches import EncodedBatch

__all__ = ["BINS_PER_OCTAVE", "Activity", "ActivityMeter"]

BINS_PER_OCTAVE = 4
SMALLEST_OCTAVE, LARGEST_OCTAVE = -14, 14
N_BINS = BINS_PER_OCTAVE * (LARGEST_OCTAVE - SMALLEST_OCTAVE)


@dataclass(frozen=True, eq=False)
class Activity:
    """What each feature did on some tokens.

    Attributes:
        n_tokens: Tokens that were encoded.
        n_documents: Documents that they are from.
        fire_counts: Tokens on which each feature is active.
        largest: Largest activation of each feature; 0 where it was never active.
        mean: Mean activation of each feature over the tokens on which it is active; 0 where there is none.
        octave_counts: Activations of each feature by size: four bins for each doubling, from 2^-14 to 2^14; what is
            smaller or larger is in the first or the last bin.
    """

    n_tokens: int
    n_documents: int
    fire_counts: Int64[Tensor, " d_sae"]
    largest: Float[Tensor, " d_sae"]
    mean: Float64[Tensor, " d_sae"]
    octave_counts: Int64[Tensor, "d_sae bins"]

    @property
    def density(self) -> Float64[Tensor, " d_sae"]:
        """Share of the tokens on which each feature is active."""
        return self.fire_counts.double() / self.n_tokens

    @property
    def l0(self) -> float:
        """Mean number of active features of a token."""
        return int(self.fire_counts.sum()) / self.n_tokens

    @property
    def dead_share(self) -> float:
        """Share of the features that were never active."""
        return float((self.fire_counts == 0).double().mean())


class ActivityMeter:
    """Accumulates the activity of a dictionary over batches."""

    def __init__(self, d_sae: int) -> None:
        self._n_tokens = 0
        self._n_documents = 0
        self._fire_counts = torch.zeros(d_sae, dtype=torch.long)
        self._sums = torch.zeros(d_sae, dtype=torch.float64)
        self._largest = torch.zeros(d_sae)
        self._octave_counts = torch.zeros(d_sae, N_BINS, dtype=torch.long)

    def update(self, batch: EncodedBatch) -> None:
        """Add a batch."""
        features, values = batch.feature_acts.feature_ids, batch.feature_acts.values
        self._n_tokens += batch.n_tokens
        self._n_documents += len(batch.document_ids)
        self._fire_counts += torch.bincount(features, minlength=len(self._fire_counts))
        self._sums.index_add_(0, features, values.double())
        self._largest.scatter_reduce_(0, features, values, "amax")
        bins = ((values.log2() - SMALLEST_OCTAVE) * BINS_PER_OCTAVE).floor().long().clamp(0, N_BINS - 1)
        flat = self._octave_counts.view(-1)
        flat += torch.bincount(features * N_BINS + bins, minlength=len(flat))

    def result(self) -> Activity:
        """The activity so far."""
        return Activity(
            n_tokens=self._n_tokens,
            n_documents=self._n_documents,
            fire_counts=self._fire_counts.clone(),
            largest=self._largest.clone(),
            mean=self._sums / self._fire_counts.clamp(min=1),
            octave_counts=self._octave_counts.clone(),
        )
