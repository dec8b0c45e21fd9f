"""Reconstructions brought to their best scale: what of an error is only that activations are too small or too large.

Both corrections are fitted on some folds of documents and applied to the others.
"""

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor
from torch.nn.functional import embedding_bag

from sae.dictionary.autoencoder import SAE
from sae.dictionary.feature_acts import FeatureActs
from sae.evaluation.cross_fitted_ridge import N_FOLDS, folds_of

__all__ = ["rescaled", "rescaled_features"]

N_STEPS = 40
ACCURACY = 1e-4
"""Of the solution, in the norm that the preconditioner gives; factors need no more than a few digits."""
PRIOR = 1e-3
"""Share of a feature's own squared contribution with which its factor is held at 1: a rare feature keeps its scale."""
CHUNK_BYTES = 64 * 2**20


def rescaled(
    x: Float[Tensor, "tokens d_model"],
    x_hat: Float[Tensor, "tokens d_model"],
    token_documents: Int64[Tensor, " tokens"],
) -> Float[Tensor, "tokens d_model"]:
    """`b + c x_hat` with the scalar c and the vector b of least squared error on the documents of the other folds."""
    folds, found = folds_of(token_documents), torch.empty_like(x_hat)
    for fold in range(N_FOLDS):
        fitted = folds != fold
        mean_x, mean_x_hat = x[fitted].double().mean(0), x_hat[fitted].double().mean(0)
        centred = x_hat[fitted].double() - mean_x_hat
        spread = centred.square().sum()
        factor = (centred * (x[fitted].double() - mean_x)).sum() / spread if spread > 0 else spread
        chosen = ~fitted
        found[chosen] = (mean_x + factor * (x_hat[chosen].double() - mean_x_hat)).to(x_hat.dtype)
    return found


def rescaled_features(
    sae: SAE, x: Float[Tensor, "tokens d_model"], token_documents: Int64[Tensor, " tokens"]
) -> Float[Tensor, "tokens d_model"]:
    """`b + sum_i s_i z_i d_i` with the factors s and the vector b of least squared error on the other folds.

    Conjugate gradients on the normal equations, since their matrix would have d_sae^2 entries.
    """
    folds, found = folds_of(token_documents), torch.empty_like(x)
    for fold in range(N_FOLDS):
        chosen = folds == fold
        factors, offset = _best_factors(sae, x, ~chosen)
        for rows in chosen.nonzero()[:, 0].split(_chunk_tokens(sae)):
            found[rows] = _decoded(sae, sae.encode_sparse(x[rows]), factors).to(x.dtype) + offset.to(x.dtype)
    return found


def _best_factors(
    sae: SAE, x: Float[Tensor, "tokens d_model"], fitted: Bool[Tensor, " tokens"]
) -> tuple[Float64[Tensor, " d_sae"], Float64[Tensor, " d_model"]]:
    parts = [(sae.encode_sparse(x[rows]), x[rows]) for rows in fitted.nonzero()[:, 0].split(_chunk_tokens(sae))]
    problem = _Problem(sae, parts)
    start = torch.cat([torch.ones(sae.d_sae, dtype=torch.float64), sae.b_dec.double().cpu()]).to(x.device)
    found = problem.solved(start)
    return found[: sae.d_sae], found[sae.d_sae :]


class _Problem:
    """Least squares in the factors and the offset, both in one vector."""

    def __init__(self, sae: SAE, parts: list[tuple[FeatureActs, Tensor]]) -> None:
        self._sae, self._parts = sae, parts
        squares = torch.zeros(sae.d_sae, dtype=torch.float64, device=sae.device)
        for acts, _ in parts:
            squares.index_add_(0, acts.feature_ids, acts.values.double().square())
        n_tokens = sum(len(x) for _, x in parts)
        own = squares * sae.decoder_rows.double().square().sum(1)
        # a feature that is never active has nothing to say about its factor
        self._prior = torch.cat([torch.where(own > 0, PRIOR * own, 1.0), torch.zeros_like(sae.b_dec.double())])
        self._diagonal = torch.cat([own, torch.full_like(sae.b_dec.double(), n_tokens)]) + self._prior

    def solved(self, start: Float64[Tensor, " unknowns"]) -> Float64[Tensor, " unknowns"]:
        """Preconditioned conjugate gradients (Hestenes and Stiefel 1952) from a start, which is the prior too."""
        found = start.clone()
        rest = self._applied(start, against_x=True)
        step = rest / self._diagonal
        size = rest @ step
        goal = ACCURACY**2 * size
        for _ in range(N_STEPS):
            if size <= goal:
                break
            image = self._applied(step, against_x=False) + self._prior * step
            length = size / (step @ image)
            found += length * step
            rest = rest - length * image
            scaled = rest / self._diagonal
            size, before = rest @ scaled, size
            step = scaled + size / before * step
        return found

    def _applied(self, vector: Float64[Tensor, " unknowns"], *, against_x: bool) -> Float64[Tensor, " unknowns"]:
        """The matrix's transpose times what the vector reconstructs, or times what that leaves of x."""
        d_sae = self._sae.d_sae
        total = torch.zeros_like(vector)
        for acts, x in self._parts:
            image = _decoded(self._sae, acts, vector[:d_sae]) + vector[d_sae:]
            image = x.double() - image if against_x else image
            rows = self._sae.decoder_rows[acts.feature_ids]
            products = torch.linalg.vecdot(image.float()[acts.token_ids()], rows).double() * acts.values
            total[:d_sae].index_add_(0, acts.feature_ids, products)
            total[d_sae:] += image.sum(0)
        return total


def _decoded(sae: SAE, acts: FeatureActs, factors: Float64[Tensor, " d_sae"]) -> Float64[Tensor, "tokens d_model"]:
    """`sum_i s_i z_i d_i`, without any bias."""
    if len(acts.values) == 0:
        return torch.zeros(acts.n_tokens, sae.d_model, dtype=torch.float64, device=sae.device)
    weights = (acts.values.double() * factors[acts.feature_ids]).float()
    summed = embedding_bag(
        acts.feature_ids,
        sae.decoder_rows,
        acts.token_offsets,
        mode="sum",
        per_sample_weights=weights,
        include_last_offset=True,
    )
    return summed.double()


def _chunk_tokens(sae: SAE) -> int:
    """So many that the rows of their active features take little memory, at 64 of them a token."""
    return max(1, CHUNK_BYTES // (8 * 64 * sae.d_model))
