"""Whether the metrics measure what they say: degenerate dictionaries against scores that are known beforehand."""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.dictionary.autoencoder import SAE
from sae.evaluation.check import Check
from sae.evaluation.degenerate import (
    constant_sae,
    identity_sae,
    pca_sae,
    random_sae,
    scaling_sae,
    with_silent_features,
)
from sae.evaluation.doctor_of_evaluation import evaluation_checks, host_checks
from sae.evaluation.fidelity import measure_fidelity
from sae.evaluation.known_scores import (
    absent_sign_share,
    eigenvalue_share,
    expected_l0,
    explained_by_random,
    explained_by_scaling,
    threshold_of_density,
)
from sae.evaluation.spliced_loss import measure_spliced_loss
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = ["Check", "run_doctor"]

D_MODEL = 24
N_TOKENS = 12_000
MEAN_NORM = 5.0
N_COMPONENTS = 5
SHRINKAGE = 0.6
RANDOM_D_SAE, RANDOM_L0 = 96, 4.0

EXACT = 1e-4
"""What float32 may add to a score that is exact on paper."""
SAMPLED_EV, SAMPLED_L0 = 0.02, 0.1
"""Five standard errors of a score that is known in expectation only, at `N_TOKENS`."""
SMALL_L0 = 0.01
"""A coordinate that equals the centre has no sign."""
NATS = 1e-3
SMALL_COST = 0.01
"""Share of the mean ablation's cost, of what is no cost but for the norm's epsilon."""


def run_doctor(
    host: HostModel | None = None, documents: Sequence[Int[Tensor, " _"]] = (), *, seed: int = 0
) -> list[Check]:
    """Score degenerate dictionaries with the project's metrics.

    The activations are made up, correlated and far from the origin, because metrics that forget to take the mean away
    look right on centred ones.

    Args:
        host: Also measure spliced losses at this model's last residual stream.
        documents: Token ids, BOS included, to predict; only with a host.
        seed: Of the activations and of the random dictionary.

    Returns:
        The checks, dictionary by dictionary.

    Raises:
        ValueError: There is a host but no document.
    """
    if host is not None and not documents:
        raise ValueError("there are no documents to predict, expected at least one beside the host")
    checks = [*_reconstruction_checks(seed), *_random_checks(seed), *evaluation_checks(_activations(seed), seed)]
    return checks if host is None else [*checks, *_spliced_checks(host, documents), *host_checks(host, documents)]


def _reconstruction_checks(seed: int) -> Iterator[Check]:
    """Dictionaries that reconstruct made-up activations in a known way."""
    x = _activations(seed)
    mean, zero = x.mean(0), torch.zeros(D_MODEL)
    explained = "1 - (1 - s)² (1 + |mean|² / variance)"
    yield from _scaling_checks("identity", x, zero, 1.0, "everything is given back")
    yield from _scaling_checks("zero", x, zero, 0.0, "-|mean|² / variance")
    yield from _scaling_checks("mean", x, mean, 0.0, "by definition")
    yield from _scaling_checks(f"shrunk to {SHRINKAGE:g}, about mean", x, mean, SHRINKAGE, "1 - (1 - s)²")
    yield from _scaling_checks(f"shrunk to {SHRINKAGE:g}, about zero", x, zero, SHRINKAGE, explained)
    yield from _component_checks(x)


def _scaling_checks(
    name: str, x: Float[Tensor, "tokens d_model"], centre: Float[Tensor, " d_model"], factor: float, reason: str
) -> Iterator[Check]:
    """Scores of `centre + factor * (x - centre)`; at factor 0 no feature is active."""
    half = torch.arange(len(x)) % 2 == 0
    sae = scaling_sae(centre, factor=factor) if factor else constant_sae(centre)
    scores = _scores(sae, x, {"half": half})
    of_all, of_half = (explained_by_scaling(rows, centre, factor=factor) for rows in (x, x[half]))
    yield Check(name, "explained variance", of_all, scores["ev"], _rounding(of_all), reason)
    yield Check(name, "the same of a class", of_half, scores["half"], _rounding(of_half), "about the class's own mean")
    if factor:
        dead = absent_sign_share(x, centre)
        yield Check(name, "L0", float(D_MODEL), scores["l0"], SMALL_L0, "one sign of each coordinate is active")
        yield Check(name, "dead share", dead, scores["dead"], 0.0, "signs that no token has")
    else:
        yield Check(name, "L0", 0.0, scores["l0"], 0.0, "no feature is active")
        yield Check(name, "dead share", 1.0, scores["dead"], 0.0, "no feature is active")


def _component_checks(x: Float[Tensor, "tokens d_model"]) -> Iterator[Check]:
    """Projections: on principal components, and with features that never fire."""
    share = eigenvalue_share(x, N_COMPONENTS)
    name = f"PCA, {N_COMPONENTS} components"
    scores = _scores(pca_sae(x, N_COMPONENTS), x, {})
    yield Check(name, "explained variance", share, scores["ev"], EXACT, "largest eigenvalues / trace")
    yield Check(name, "L0", float(N_COMPONENTS), scores["l0"], SMALL_L0, "one sign of each component is active")
    scores = _scores(with_silent_features(scaling_sae(x.mean(0), factor=1.0)), x, {})
    yield Check("identity, half silent", "explained variance", 1.0, scores["ev"], EXACT, "silent features add nothing")
    yield Check("identity, half silent", "dead share", 0.5, scores["dead"], 0.0, "half the features never fire")


def _random_checks(seed: int) -> Iterator[Check]:
    """A random dictionary on standard normal activations, where its expected scores have a closed form."""
    x = torch.randn(N_TOKENS, D_MODEL, generator=torch.Generator().manual_seed(seed))
    sae = random_sae(D_MODEL, RANDOM_D_SAE, threshold=threshold_of_density(RANDOM_L0 / RANDOM_D_SAE), seed=seed + 1)
    scores = _scores(sae, x, {})
    name = f"random, L0 {RANDOM_L0:g}"
    yield Check(name, "explained variance", explained_by_random(sae), scores["ev"], SAMPLED_EV, "Mehler's formula")
    yield Check(name, "L0", expected_l0(sae), scores["l0"], SAMPLED_L0, "tail of the normal distribution")
    yield Check(name, "dead share", 0.0, scores["dead"], 0.0, "each is active on one token in 24")


def _spliced_checks(host: HostModel, documents: Sequence[Int[Tensor, " _"]]) -> Iterator[Check]:
    """Cross-entropy with degenerate dictionaries at the last residual stream, which only norm and unembedding read."""
    site = Site("resid_post", host.n_layers - 1)
    mean = _mean_activation(host, documents, site)

    def splice(sae: SAE) -> dict[str, float | None]:
        loss = measure_spliced_loss(host, documents, {site: sae.to(host.device)})
        return {
            "cost": loss.delta_ce,
            "loss": loss.spliced,
            "zero": loss.recovered_from_zero,
            "mean": loss.recovered_from_mean,
            "of mean": loss.delta_ce / (loss.mean - loss.clean),
        }

    identity, zero = splice(identity_sae(host.d_model)), splice(constant_sae(torch.zeros(host.d_model)))
    average, scaled = splice(constant_sae(mean)), splice(scaling_sae(torch.zeros(host.d_model), factor=SHRINKAGE))
    uniform = math.log(host.vocab_size)
    yield Check("identity", "delta CE, nats", 0.0, identity["cost"], NATS, "nothing changes")
    yield Check("identity", "recovered from mean", 1.0, identity["mean"], EXACT, "nothing changes")
    yield Check("zero", "spliced CE, nats", uniform, zero["loss"], NATS, "equal logits: log of the vocabulary")
    yield Check("zero", "recovered from zero", 0.0, zero["zero"], EXACT, "it is the ablation")
    yield Check("mean", "recovered from mean", 0.0, average["mean"], EXACT, "it is the ablation")
    shrunk = f"shrunk to {SHRINKAGE:g}, about zero"
    yield Check(shrunk, "delta CE / mean's", 0.0, scaled["of mean"], SMALL_COST, "the norm undoes a scale")


def _activations(seed: int) -> Float[Tensor, "tokens d_model"]:
    """Correlated activations, with variances that fall by powers, far from the origin, in two classes."""
    generator = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(D_MODEL, D_MODEL, generator=generator)).Q
    spread = torch.arange(1, D_MODEL + 1).pow(-0.7)
    mean = MEAN_NORM * torch.nn.functional.normalize(torch.randn(D_MODEL, generator=generator), dim=0)
    x = torch.randn(N_TOKENS, D_MODEL, generator=generator) * spread @ rotation + mean
    x[::2] += rotation[1]
    return x


def _scores(sae: SAE, x: Float[Tensor, "tokens d_model"], classes: Mapping[str, Tensor]) -> dict[str, float | None]:
    fidelity = measure_fidelity(sae, x, classes=classes)
    return {
        "ev": fidelity.explained_variance,
        "l0": fidelity.l0,
        "dead": fidelity.dead_share,
        **fidelity.class_explained_variance,
    }


def _rounding(expected: float) -> float:
    """Rounding of a score that may be large, as that of zero is far from the origin."""
    return EXACT * max(1.0, abs(expected))


def _mean_activation(host: HostModel, documents: Sequence[Int[Tensor, " _"]], site: Site) -> Float[Tensor, " d_model"]:
    """Over every token but BOS, document by document."""
    total, n_tokens = torch.zeros(host.d_model, dtype=torch.float64), 0
    for ids in documents:
        batch = host.batch([ids])
        rows = host.capture(batch, [site])[site][batch.node_mask]
        total += rows.double().sum(0).cpu()
        n_tokens += len(rows)
    return (total / n_tokens).float()
