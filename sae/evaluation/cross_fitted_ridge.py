"""Linear maps fitted on some documents and judged on others: ridge regression, its penalty chosen within the former.

A least-squares fit explains about d / N of pure noise on the tokens that it was fitted on. Here no token is predicted
by a map that saw its document, neither in fitting nor in the choice of the penalty.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

__all__ = ["N_FOLDS", "CrossFit", "LinearMap", "cross_fit", "folds_of"]

N_FOLDS = 5
PENALTIES = (1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""In units of the mean variance of a coordinate of x."""
TOKENS_PER_CHUNK = 8192


@dataclass(frozen=True, eq=False)
class LinearMap:
    """`x @ weight + bias`."""

    weight: Float64[Tensor, "d_model outputs"]
    bias: Float64[Tensor, " outputs"]

    def __call__(self, x: Float[Tensor, "tokens d_model"]) -> Float64[Tensor, "tokens outputs"]:
        """In float64, whatever x is."""
        return x.double() @ self.weight + self.bias


@dataclass(frozen=True, eq=False)
class CrossFit:
    """Held-out predictions.

    Attributes:
        predictions: Of each token, by the map that did not see its document.
        maps: One a fold, fitted on the other folds.
        penalties: Of each fold and group of outputs.
    """

    predictions: Float[Tensor, "tokens outputs"]
    maps: tuple[LinearMap, ...]
    penalties: tuple[tuple[float, ...], ...]


def folds_of(token_documents: Int64[Tensor, " tokens"]) -> Int64[Tensor, " tokens"]:
    """The fold of each token's document."""
    return token_documents % N_FOLDS


def cross_fit(
    x: Float[Tensor, "tokens d_model"],
    y: Float[Tensor, "tokens outputs"],
    token_documents: Int64[Tensor, " tokens"],
    *,
    groups: Sequence[slice] = (slice(None),),
) -> CrossFit:
    """Predict y from x, a fifth of the documents at a time.

    Args:
        x: What is known.
        y: What is predicted.
        token_documents: The document of each token; whole documents are held out.
        groups: Outputs that share a penalty.

    Raises:
        ValueError: There are fewer documents than folds.
    """
    folds = folds_of(token_documents)
    counts = folds.bincount(minlength=N_FOLDS)
    if int(counts.min()) == 0:
        raise ValueError(
            f"{int(token_documents.unique().numel())} documents do not fill {N_FOLDS} folds, expected more documents"
        )
    moments = [_moments(x, y, folds == fold) for fold in range(N_FOLDS)]
    fitted = [_Fitted.of(moments, fold, groups) for fold in range(N_FOLDS)]
    predictions = torch.empty_like(y)
    for fold, found in enumerate(fitted):
        for rows in (folds == fold).nonzero()[:, 0].split(TOKENS_PER_CHUNK):
            predictions[rows] = found.map(x[rows]).to(y.dtype)
    return CrossFit(predictions, tuple(found.map for found in fitted), tuple(found.penalties for found in fitted))


@dataclass(frozen=True, eq=False)
class _Moments:
    """Sums over the tokens of some folds, about one common point."""

    n: float
    x: Float64[Tensor, " d_model"]
    y: Float64[Tensor, " outputs"]
    xx: Float64[Tensor, "d_model d_model"]
    xy: Float64[Tensor, "d_model outputs"]
    yy: Float64[Tensor, " outputs"]

    def __add__(self, other: "_Moments") -> "_Moments":
        return _Moments(
            self.n + other.n,
            self.x + other.x,
            self.y + other.y,
            self.xx + other.xx,
            self.xy + other.xy,
            self.yy + other.yy,
        )

    def about(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Second moments xx, xy and yy about another point."""
        shift = torch.outer(self.x, x)
        xx = self.xx - shift - shift.T + self.n * torch.outer(x, x)
        xy = self.xy - torch.outer(self.x, y) - torch.outer(x, self.y) + self.n * torch.outer(x, y)
        return xx, xy, self.yy - 2 * self.y * y + self.n * y.square()


def _moments(x: Tensor, y: Tensor, chosen: Tensor) -> _Moments:
    d_model, n_outputs = x.shape[1], y.shape[1]
    # about the first moments of a few tokens, so that little cancels
    x_shift, y_shift = x[:TOKENS_PER_CHUNK].double().mean(0), y[:TOKENS_PER_CHUNK].double().mean(0)
    zeros: Any = {"dtype": torch.float64, "device": x.device}
    sum_x, sum_y, yy = torch.zeros(d_model, **zeros), torch.zeros(n_outputs, **zeros), torch.zeros(n_outputs, **zeros)
    xx, xy = torch.zeros(d_model, d_model, **zeros), torch.zeros(d_model, n_outputs, **zeros)
    for rows in chosen.nonzero()[:, 0].split(TOKENS_PER_CHUNK):
        some_x, some_y = x[rows].double() - x_shift, y[rows].double() - y_shift
        sum_x += some_x.sum(0)
        sum_y += some_y.sum(0)
        xx += some_x.T @ some_x
        xy += some_x.T @ some_y
        yy += some_y.square().sum(0)
    shifted = _Moments(float(chosen.sum()), sum_x, sum_y, xx, xy, yy)
    xx, xy, yy = shifted.about(-x_shift, -y_shift)
    return _Moments(shifted.n, sum_x + shifted.n * x_shift, sum_y + shifted.n * y_shift, xx, xy, yy)


@dataclass(frozen=True, eq=False)
class _Solver:
    """Ridge solutions on some folds for any penalty, from one eigendecomposition."""

    mean_x: Tensor
    mean_y: Tensor
    eigenvectors: Tensor
    eigenvalues: Tensor
    projected: Tensor
    unit: float

    @classmethod
    def of(cls, moments: Sequence[_Moments]) -> "_Solver":
        total = moments[0]
        for more in moments[1:]:
            total = total + more
        mean_x, mean_y = total.x / total.n, total.y / total.n
        xx, xy, _ = total.about(mean_x, mean_y)
        eigenvalues, eigenvectors = torch.linalg.eigh(xx)
        eigenvalues = eigenvalues.clamp(min=0)
        return cls(mean_x, mean_y, eigenvectors, eigenvalues, eigenvectors.T @ xy, float(eigenvalues.mean()))

    def weight(self, penalty: float) -> Tensor:
        # a coordinate that never varies gets no weight
        inverse = 1 / (self.eigenvalues + max(penalty * self.unit, torch.finfo(torch.float64).tiny))
        return self.eigenvectors @ (inverse[:, None] * self.projected)

    def squared_errors(self, held_out: _Moments, penalty: float) -> Float64[Tensor, " outputs"]:
        """Of each output, summed over the held-out tokens."""
        xx, xy, yy = held_out.about(self.mean_x, self.mean_y)
        weight = self.weight(penalty)
        return yy - 2 * (weight * xy).sum(0) + (weight * (xx @ weight)).sum(0)


@dataclass(frozen=True, eq=False)
class _Fitted:
    """The map for one held-out fold."""

    map: LinearMap
    penalties: tuple[float, ...] = field(default=())

    @classmethod
    def of(cls, moments: Sequence[_Moments], held_out: int, groups: Sequence[slice]) -> "_Fitted":
        """The penalty is the best for the other folds, each predicted from the rest of them."""
        others = [fold for fold in range(len(moments)) if fold != held_out]
        errors = torch.stack([_inner_errors(moments, others, fold) for fold in others]).sum(0)
        solver = _Solver.of([moments[fold] for fold in others])
        weight = torch.empty_like(solver.projected)
        penalties = []
        for group in groups:
            penalties.append(PENALTIES[int(errors[:, group].sum(1).argmin())])
            weight[:, group] = solver.weight(penalties[-1])[:, group]
        return cls(LinearMap(weight, solver.mean_y - solver.mean_x @ weight), tuple(penalties))


def _inner_errors(moments: Sequence[_Moments], folds: Sequence[int], left_out: int) -> Float64[Tensor, "penalties _"]:
    solver = _Solver.of([moments[fold] for fold in folds if fold != left_out])
    return torch.stack([solver.squared_errors(moments[left_out], penalty) for penalty in PENALTIES])
