"""Reconstructions brought to their best scale: what of an error is only that activations are too small or too large.

Both corrections are fitted on some folds of documents and applied to the others.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, cg
from torch import Tensor

from sae.dictionary.autoencoder import SAE
from sae.evaluation.cross_fitted_ridge import N_FOLDS, folds_of

__all__ = ["rescaled", "rescaled_features"]

N_STEPS = 500
ACCURACY = 1e-8
"""Of the normal equations, relative to their right-hand side."""
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

    The normal equations are sums over tokens, so each fold's are made once and those of the other four added.
    """
    folds, found = folds_of(token_documents), torch.empty_like(x)
    acts = sae.encode_sparse(x)
    scales = csr_array((acts.values.double(), acts.feature_ids, acts.token_offsets), shape=(len(x), sae.d_sae))
    rows = [(folds == fold).nonzero()[:, 0] for fold in range(N_FOLDS)]
    equations = [_Equations.of(sae, scales[chosen.numpy()], x[chosen]) for chosen in rows]
    for fold, chosen in enumerate(rows):
        others = [equation for index, equation in enumerate(equations) if index != fold]
        factors, offset = _solved(sae, _Equations.total(others))
        weighted = scales[chosen.numpy()] @ (factors[:, None] * sae.decoder_rows.double().numpy())
        found[chosen] = torch.from_numpy(weighted + offset).to(x.dtype)
    return found


@dataclass(frozen=True, eq=False)
class _Equations:
    """Sums over tokens: z z^T, which is sparse, z x^T, z, x and 1."""

    z_z: Any
    z_x: NDArray
    z: NDArray
    x: NDArray
    n: int

    @classmethod
    def of(cls, sae: SAE, scales: Any, x: Float[Tensor, "tokens d_model"]) -> "_Equations":
        rows = x.double().numpy()
        return cls(scales.T @ scales, scales.T @ rows, scales.sum(0), rows.sum(0), len(rows))

    @classmethod
    def total(cls, parts: "list[_Equations]") -> "_Equations":
        return cls(*(sum(getattr(part, field.name) for part in parts) for field in fields(cls)))


def _solved(sae: SAE, equations: _Equations) -> tuple[NDArray, NDArray]:
    """Factors and offset by conjugate gradients, held a little at factors of 1."""
    rows, d_sae = sae.decoder_rows.double().numpy(), sae.d_sae
    products = _inner_products(equations.z_z.tocoo(), rows)
    own = products.diagonal()
    # a feature that is never active has nothing to say about its factor
    prior = np.where(own > 0, PRIOR * own, 1.0)

    def apply(vector: NDArray) -> NDArray:
        factors, offset = vector[:d_sae], vector[d_sae:]
        of_factors = products @ factors + prior * factors + equations.z * (rows @ offset)
        return np.concatenate([of_factors, rows.T @ (equations.z * factors) + equations.n * offset])

    wanted = np.concatenate([(equations.z_x * rows).sum(1) + prior, equations.x])
    scale = np.concatenate([own + prior, np.full(len(equations.x), float(equations.n))])
    size = len(wanted)
    found, _ = cg(
        LinearOperator((size, size), matvec=apply, dtype=np.float64),
        wanted,
        x0=np.concatenate([np.ones(d_sae), sae.b_dec.double().numpy()]),
        rtol=ACCURACY,
        maxiter=N_STEPS,
        M=LinearOperator((size, size), matvec=lambda vector: vector / scale, dtype=np.float64),
    )
    return found[:d_sae], found[d_sae:]


def _inner_products(z_z: Any, rows: NDArray) -> Any:
    """Each entry (i, j) of the sums times the inner product of decoder rows i and j."""
    values = np.empty_like(z_z.data)
    chunk = max(1, CHUNK_BYTES // (16 * rows.shape[1]))
    for start in range(0, len(values), chunk):
        some = slice(start, start + chunk)
        left, right = rows[z_z.row[some]], rows[z_z.col[some]]
        values[some] = z_z.data[some] * np.einsum("ij,ij->i", left, right)
    return csr_array((values, (z_z.row, z_z.col)), shape=z_z.shape)
