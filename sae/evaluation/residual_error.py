"""How much of a dictionary's error a linear map of the activation predicts.

Engels, Riggs and Tegmark 2024 (arXiv 2410.14670), with what their estimate lacks: whole documents are held out, the map
is a ridge regression whose penalty is chosen without them, and there are at least 50 tokens for each coordinate. A
dictionary that only shrinks has an error that is all linear, so the error is also taken after the best rescaling; and
the share of it that is linear is printed beside the two absolute parts, since it can fall while both do.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sae.dictionary.autoencoder import SAE
from sae.dictionary.random_directions import random_dictionary_of_density
from sae.evaluation.cross_fitted_ridge import CrossFit, cross_fit
from sae.evaluation.degenerate import constant_sae, pca_sae
from sae.evaluation.document_activations import DocumentActivations
from sae.evaluation.metrics import Sums
from sae.evaluation.shrinkage import rescaled, rescaled_features
from sae.measurement import Measurement, bootstrap

__all__ = [
    "TOKENS_PER_DIMENSION",
    "ErrorParts",
    "check_size",
    "compared_reconstructions",
    "error_parts",
    "error_sums",
    "fit_error",
    "pca_of_equal_variance",
    "reconstructed",
    "residual_error",
]

TOKENS_PER_DIMENSION = 50
SEARCH_STEPS = 8
DENSITIES = (1e-3, 0.5)
"""Between them a random dictionary's density is looked for."""
SEARCH_TOKENS = 8192


@dataclass(frozen=True)
class ErrorParts:
    """The error of one reconstruction, split by what a linear map of x predicts; intervals over documents.

    Attributes:
        name: Which reconstruction.
        explained_variance: Of the reconstruction itself.
        fvu: Sum of |e|^2 over the sum of |x - mean|^2.
        fvu_linear: The part of it that the map takes away.
        fvu_nonlinear: The part that stays, sum |e - W x - b|^2 over the same.
        linear_share: 1 - sum |e - W x - b|^2 / sum |e - mean e|^2, all coordinates together.
        linear_share_of_dimensions: Mean of the same for each coordinate; a few large ones decide the former.
        size_share: How much of the variance of |e|^2 a linear map of x predicts.
    """

    name: str
    explained_variance: Measurement
    fvu: Measurement
    fvu_linear: Measurement
    fvu_nonlinear: Measurement
    linear_share: Measurement
    linear_share_of_dimensions: Measurement
    size_share: Measurement

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return {
            field.name: value.to_json() if isinstance(value := getattr(self, field.name), Measurement) else value
            for field in fields(self)
        }


def residual_error(sae: SAE, activations: DocumentActivations, *, seed: int = 0) -> dict[str, ErrorParts]:
    """The error of a dictionary, as it is and after two corrections, beside two nulls of equal explained variance.

    Args:
        sae: The dictionary.
        activations: At its site.
        seed: Of the random null and of the resampling.

    Returns:
        `sae`; `rescaled` by one factor; `features rescaled`, each by its own; `pca`, whose error is linear by
        construction; `random`, which comes as close to the explained variance as random directions can.

    Raises:
        ValueError: There are fewer than 50 tokens for each coordinate, or too few documents.
    """
    check_size(*activations.x.shape)
    reconstructions = compared_reconstructions(sae, activations, seed=seed)
    return {name: error_parts(name, activations, make(), seed=seed) for name, make in reconstructions.items()}


def compared_reconstructions(
    sae: SAE, activations: DocumentActivations, *, seed: int = 0
) -> dict[str, Callable[[], Float[Tensor, "tokens d_model"]]]:
    """What `residual_error` splits the error of, by name; each is made when it is called for."""
    x, token_documents = activations.x, activations.token_documents
    x_hat = reconstructed(sae, x)
    wanted = _explained(x, x_hat)
    return {
        "sae": lambda: x_hat,
        "rescaled": lambda: rescaled(x, x_hat, token_documents),
        "features rescaled": lambda: rescaled_features(sae, x, token_documents),
        "pca": lambda: reconstructed(pca_of_equal_variance(x, x_hat), x),
        "random": lambda: reconstructed(_random_of(x, wanted, sae.d_sae, seed), x),
    }


def error_parts(
    name: str,
    activations: DocumentActivations,
    x_hat: Float[Tensor, "tokens d_model"],
    *,
    seed: int = 0,
    fit: CrossFit | None = None,
) -> ErrorParts:
    """The split of one reconstruction's error. The maps are held fixed when documents are resampled.

    Args:
        name: What to call it.
        activations: What is reconstructed.
        x_hat: The reconstruction.
        seed: Of the resampling.
        fit: Of the error and its square on the activations, where it is known already.
    """
    columns = error_sums(activations, x_hat, fit=fit)

    def measured(statistic: Callable[[Sums], Tensor], higher_is_better: bool | None) -> Measurement:
        return bootstrap(
            lambda counts: statistic(Sums(columns, counts)),
            activations.n_documents,
            seed=seed,
            higher_is_better=higher_is_better,
        )

    return ErrorParts(
        name=name,
        explained_variance=measured(lambda sums: 1 - _fvu(sums, "error_square"), True),
        fvu=measured(lambda sums: _fvu(sums, "error_square"), False),
        fvu_linear=measured(lambda sums: _fvu(sums, "error_square") - _fvu(sums, "rest_square"), False),
        fvu_nonlinear=measured(lambda sums: _fvu(sums, "rest_square"), False),
        linear_share=measured(lambda sums: 1 - sums["rest_square"].sum(1) / _error_scatter(sums).sum(1), None),
        linear_share_of_dimensions=measured(
            lambda sums: (1 - sums["rest_square"] / _error_scatter(sums)).mean(1), None
        ),
        size_share=measured(_size_share, None),
    )


def error_sums(
    activations: DocumentActivations, x_hat: Float[Tensor, "tokens d_model"], *, fit: CrossFit | None = None
) -> dict[str, Float64[Tensor, "documents *outputs"]]:
    """What the split of a reconstruction's error is made of, summed by document.

    Args:
        activations: What is reconstructed.
        x_hat: The reconstruction.
        fit: Of the error and its square on the activations, where it is known already.

    Returns:
        `n` tokens; `x` and `x_square` about the mean of all tokens; `error` and `error_square`, and `rest_square` of
        what the linear map leaves of it, by coordinate; `size`, `size_square` and `size_rest_square` the same of |e|^2.
    """
    x, error = activations.x, activations.x - x_hat
    size = error.square().sum(1, keepdim=True)
    if fit is None:
        fit = fit_error(activations, x_hat)
    rest = torch.cat([error, size], 1) - fit.predictions
    shift = x.double().mean(0).float()
    return {
        "n": activations.sums(torch.ones_like(size)),
        "x": activations.sums(x - shift),
        "x_square": activations.sums((x - shift).square().sum(1, keepdim=True)),
        "error": activations.sums(error),
        "error_square": activations.sums(error.square()),
        "rest_square": activations.sums(rest[:, :-1].square()),
        "size": activations.sums(size),
        "size_square": activations.sums(size.double().square()),
        "size_rest_square": activations.sums(rest[:, -1:].double().square()),
    }


def fit_error(activations: DocumentActivations, x_hat: Float[Tensor, "tokens d_model"]) -> CrossFit:
    """Linear maps from x to the error and, as a last output with a penalty of its own, to its squared length."""
    error = activations.x - x_hat
    d_model = error.shape[1]
    targets = torch.cat([error, error.square().sum(1, keepdim=True)], 1)
    groups = (slice(0, d_model), slice(d_model, d_model + 1))
    return cross_fit(activations.x, targets, activations.token_documents, groups=groups)


def _fvu(sums: Sums, what: str) -> Float64[Tensor, " draws"]:
    scatter = sums["x_square"][:, 0] - sums["x"].square().sum(1) / sums["n"][:, 0]
    return sums[what].sum(1) / scatter


def _error_scatter(sums: Sums) -> Float64[Tensor, "draws d_model"]:
    """Sum of the squares of each coordinate of the error about its mean; not a number where it is only rounding."""
    scatter = sums["error_square"] - sums["error"].square() / sums["n"]
    rounding = 1e-9 * sums["x_square"] / scatter.shape[1]
    return torch.where(scatter > rounding, scatter, torch.nan)


def _size_share(sums: Sums) -> Float64[Tensor, " draws"]:
    scatter = sums["size_square"] - sums["size"].square() / sums["n"]
    return (1 - sums["size_rest_square"] / torch.where(scatter > 0, scatter, torch.nan))[:, 0]


def check_size(n_tokens: int, d_model: int) -> None:
    """Make sure that there are enough tokens to fit linear maps.

    Raises:
        ValueError: There are fewer than 50 for each coordinate.
    """
    if n_tokens < TOKENS_PER_DIMENSION * d_model:
        raise ValueError(
            f"{n_tokens} tokens are too few to fit maps of d_model {d_model}, expected at least "
            f"{TOKENS_PER_DIMENSION * d_model} ({TOKENS_PER_DIMENSION} for each coordinate); give more --tokens"
        )


@torch.no_grad()
def reconstructed(sae: SAE, x: Float[Tensor, "tokens d_model"]) -> Float[Tensor, "tokens d_model"]:
    """What a dictionary makes of activations."""
    return torch.cat([sae.decode_sparse(sae.encode_sparse(rows)) for rows in x.split(SEARCH_TOKENS)])


def _explained(x: Tensor, x_hat: Tensor) -> float:
    centred = x.double() - x.double().mean(0)
    return float(1 - (x - x_hat).double().square().sum() / centred.square().sum())


def pca_of_equal_variance(x: Float[Tensor, "tokens d_model"], x_hat: Float[Tensor, "tokens d_model"]) -> SAE:
    """As many principal components as come closest to the explained variance of a reconstruction."""
    shares = torch.linalg.eigvalsh(x.double().T.cov()).flip(0)
    explained = torch.cat([shares.new_zeros(1), shares.cumsum(0) / shares.sum()])
    k = int((explained - _explained(x, x_hat)).abs().argmin())
    return pca_sae(x, k) if k else constant_sae(x.double().mean(0).float())


def _random_of(x: Tensor, wanted: float, d_sae: int, seed: int) -> SAE:
    """Random directions, as densely active as gives the wanted explained variance: bisection in the log of density."""
    generator = torch.Generator().manual_seed(seed)
    sample = x[torch.randperm(len(x), generator=generator)[:SEARCH_TOKENS]]
    low, high = torch.tensor(DENSITIES, dtype=torch.float64).log().tolist()

    def of(log_density: float) -> SAE:
        density = torch.full((d_sae,), log_density, dtype=torch.float64).exp()
        return random_dictionary_of_density(sample, density, seed=seed)

    for _ in range(SEARCH_STEPS):
        middle = (low + high) / 2
        if _explained(sample, reconstructed(of(middle), sample)) < wanted:
            low = middle
        else:
            high = middle
    return of(high)
