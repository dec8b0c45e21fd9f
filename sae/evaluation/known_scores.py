"""What degenerate dictionaries must score, by formulas that share no code with the metrics they check."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sae.dictionary.autoencoder import SAE

__all__ = [
    "absent_sign_share",
    "eigenvalue_share",
    "expected_l0",
    "explained_by_random",
    "explained_by_scaling",
    "threshold_of_density",
]

HERMITE_ORDER = 40


def explained_by_scaling(
    x: Float[Tensor, "tokens d_model"], centre: Float[Tensor, " d_model"], *, factor: float
) -> float:
    """Explained variance of `centre + factor * (x - centre)`.

    1 - (1 - factor)^2 (1 + |centre - mean|^2 / variance), with the variance summed over coordinates. Factor 0 predicts
    the centre, and then the mean scores 0.
    """
    x = x.double()
    variance = float(x.var(0, correction=0).sum())
    offset = float((centre.double() - x.mean(0)).square().sum())
    return 1 - (1 - factor) ** 2 * (1 + offset / variance)


def eigenvalue_share(x: Float[Tensor, "tokens d_model"], k: int) -> float:
    """Sum of the k largest eigenvalues of the covariance over its trace."""
    eigenvalues = torch.linalg.svdvals(x.double() - x.double().mean(0)).square()
    return float(eigenvalues[:k].sum() / eigenvalues.sum())


def absent_sign_share(x: Float[Tensor, "tokens d_model"], centre: Float[Tensor, " d_model"]) -> float:
    """Share of the 2 d_model pairs of a coordinate and a sign about the centre that no token has."""
    present = torch.stack([(x > centre).any(0), (x < centre).any(0)])
    return float((~present).double().mean())


def threshold_of_density(density: float) -> float:
    """The threshold that a standard normal variable exceeds with probability `density`."""
    return math.sqrt(2) * float(torch.erfinv(torch.tensor(1 - 2 * density, dtype=torch.float64)))


def expected_l0(sae: SAE) -> float:
    """Expected L0 of unit encoder rows without biases on standard normal activations."""
    return float((torch.erfc(sae.threshold.double() / math.sqrt(2)) / 2).sum())


def explained_by_random(sae: SAE) -> float:
    r"""Expected explained variance of tied unit rows with one threshold on standard normal activations.

    With z_i the projections, f(z) = z 1[z > threshold] and G the rows' inner products,

        E|x_hat|^2 = sum_ij G_ij E[f(z_i) f(z_j)] = sum_n c_n^2 sum_ij G_ij^(n+1),     E<x, x_hat> = d_sae E[f(z) z]

    where c_n are the coefficients of f in normalised Hermite polynomials (Mehler's formula).
    """
    rows = sae.decoder_rows.double()
    coefficients = _hermite_coefficients(float(sae.threshold[0]))
    gram = rows @ rows.T
    off_diagonal = gram - torch.diag(gram.diagonal())
    second_moment = coefficients[1]  # E[f(z)^2] = E[f(z) z], the first coefficient
    squared_norm = sae.d_sae * second_moment + sum(
        c**2 * float((off_diagonal ** (n + 1)).sum()) for n, c in enumerate(coefficients)
    )
    return (2 * sae.d_sae * second_moment - squared_norm) / sae.d_model


def _hermite_coefficients(threshold: float) -> list[float]:
    """Of f(z) = z 1[z > threshold], in Hermite polynomials divided by sqrt(n!).

    From z He_n = He_(n+1) + n He_(n-1) and E[He_m(z) 1[z > t]] = He_(m-1)(t) density(t).
    """
    density = math.exp(-(threshold**2) / 2) / math.sqrt(2 * math.pi)
    tail = math.erfc(threshold / math.sqrt(2)) / 2
    hermite = [1.0, threshold]
    for n in range(1, HERMITE_ORDER):
        hermite.append(threshold * hermite[n] - n * hermite[n - 1])
    rest = [density * (hermite[n] + n * hermite[n - 2]) / math.sqrt(math.factorial(n)) for n in range(2, HERMITE_ORDER)]
    return [density, threshold * density + tail, *rest]
