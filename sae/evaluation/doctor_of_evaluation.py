"""Known scores of what an evaluation adds to fidelity: variants, the error's split, description length, matching."""

import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.dictionary.feature_acts import FeatureActs
from sae.evaluation.check import Check
from sae.evaluation.collecting import collect
from sae.evaluation.degenerate import constant_sae, identity_sae, pca_sae, random_sae, scaling_sae
from sae.evaluation.description_length import description_length
from sae.evaluation.document_activations import DocumentActivations, document_activations
from sae.evaluation.matched_features import match_dictionaries
from sae.evaluation.metrics import METRICS, measure
from sae.evaluation.position_classes import EXCLUDED, EvaluationDocument
from sae.evaluation.residual_error import error_parts, reconstructed
from sae.evaluation.support_codes import independent_bits
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = ["evaluation_checks", "host_checks"]

TOKENS_PER_DOCUMENT = 100
SHRINKAGE, N_COMPONENTS = 0.6, 5
RATE, N_FEATURES = 1 / 16, 64
EXACT = 1e-4
"""What float32 may add to a score that is exact on paper."""
NO_LINEAR_PART = 0.01
"""What a ridge map that cannot predict anything may still seem to."""
SAMPLED_BITS = 0.5
"""Five standard errors of the bits of a token, at 12 000 tokens."""
ROUNDING_NATS = 1e-3
OTHER = 2


def evaluation_checks(x: Float[Tensor, "tokens d_model"], seed: int) -> Iterator[Check]:
    """Scores on made-up activations."""
    yield from _split_checks(_in_documents(x), seed)
    yield from _length_checks(_in_documents(x), seed)
    yield from _matching_checks(x.shape[1], seed)


def host_checks(host: HostModel, documents: Sequence[Int[Tensor, " _"]]) -> Iterator[Check]:
    """Scores at the first residual stream of a host, from sums over documents."""
    site = Site("resid_post", 0)
    found = [EvaluationDocument(ids.long(), _classes(host, ids)) for ids in documents]
    x = document_activations(host, found, site).x
    mean = x.double().mean(0)
    dictionaries = {
        "identity": identity_sae(host.d_model),
        "zero": constant_sae(torch.zeros(host.d_model)),
        "mean": constant_sae(mean.float()),
        f"shrunk to {SHRINKAGE:g}, about mean": scaling_sae(mean.float(), factor=SHRINKAGE),
    }
    table = collect(host, found, site, dictionaries, shift=mean)

    def check(name: str, metric: str, expected: float, tolerance: float, reason: str) -> Check:
        label = metric.replace("explained_variance", "EV").replace("_", " ")
        return Check(name, label, expected, measure(METRICS[metric], table, name).value, tolerance, reason)

    shrunk = f"shrunk to {SHRINKAGE:g}, about mean"
    for metric in ("explained_variance_of_tokens", "explained_variance_of_dimensions"):
        yield check("mean", metric, 0.0, EXACT, "by definition")
        yield check(shrunk, metric, 1 - (1 - SHRINKAGE) ** 2, EXACT, "the same for each")
    yield check(shrunk, "normalised_mse", (1 - SHRINKAGE) ** 2, EXACT, "(1 - s)²")
    yield check("zero", "explained_variance_without_bias", 0.0, EXACT, "the error varies as x does")
    yield check("zero", "explained_variance_uncentred", 0.0, EXACT, "the error is x")
    yield check("identity", "cosine", 1.0, EXACT, "everything is given back")
    yield check("identity", "relative_bias", 1.0, EXACT, "everything is given back")
    yield check("identity", "kl", 0.0, ROUNDING_NATS, "nothing changes")
    yield check("identity", "accuracy_change", 0.0, 0.0, "nothing changes")
    yield check("zero", "recovered_from_zero", 0.0, EXACT, "it is the ablation")
    yield check("mean", "recovered_from_mean", 0.0, EXACT, "it is the ablation")


def _split_checks(activations: DocumentActivations, seed: int) -> Iterator[Check]:
    """How much of an error a linear map predicts."""
    x = activations.x
    shrunk = reconstructed(scaling_sae(torch.zeros(x.shape[1]), factor=SHRINKAGE), x)
    components = reconstructed(pca_sae(x, N_COMPONENTS), x)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed + 1))
    cases = (
        (f"shrunk to {SHRINKAGE:g}, about zero", shrunk, 1.0, EXACT, "the error is (1 - s) x"),
        (f"PCA, {N_COMPONENTS} components", components, 1.0, EXACT, "the error is a projection of x"),
        ("x and noise", x + noise, 0.0, NO_LINEAR_PART, "nothing predicts it; an in-sample fit would"),
    )
    for name, x_hat, expected, tolerance, reason in cases:
        share = error_parts(name, activations, x_hat).linear_share.value
        yield Check(name, "linear share of error", expected, share, tolerance, reason)


def _length_checks(activations: DocumentActivations, seed: int) -> Iterator[Check]:
    """Bits of features that fire at random, and of none."""
    n_tokens = len(activations.x)
    generator = torch.Generator().manual_seed(seed + 2)
    acts = FeatureActs.from_dense((torch.rand(n_tokens, N_FEATURES, generator=generator) < RATE).float())
    nothing = torch.zeros(n_tokens, dtype=torch.bool)
    bits = float(independent_bits(acts, activations.token_documents % 2, nothing).mean())
    entropy = -(RATE * math.log2(RATE) + (1 - RATE) * math.log2(1 - RATE))
    reason = "entropy of a coin, for each feature"
    yield Check(f"coins of {RATE:g}", "support bits", N_FEATURES * entropy, bits, SAMPLED_BITS, reason)
    silent = description_length(constant_sae(activations.x.mean(0)), activations).bits["independent"].value
    yield Check("mean", "description length", 0.0, silent, 0.01, "no feature is active")


def _matching_checks(d_model: int, seed: int) -> Iterator[Check]:
    """A dictionary beside itself in another order."""
    sae = random_sae(d_model, N_FEATURES, threshold=1.0, seed=seed)
    order = torch.randperm(N_FEATURES, generator=torch.Generator().manual_seed(seed))
    rows = sae.decoder_rows[order]
    shuffled = type(sae)(
        encoder_rows=rows, b_enc=sae.b_enc, decoder_rows=rows, b_dec=sae.b_dec, threshold=sae.threshold
    )
    shared = float(match_dictionaries(sae, shuffled).is_shared.double().mean())
    yield Check("random, reordered", "shared features", 1.0, shared, 0.0, "order means nothing")


def _in_documents(x: Float[Tensor, "tokens d_model"]) -> DocumentActivations:
    n_documents = len(x) // TOKENS_PER_DOCUMENT
    kept = x[: n_documents * TOKENS_PER_DOCUMENT]
    return DocumentActivations(kept, torch.arange(n_documents).repeat_interleave(TOKENS_PER_DOCUMENT), n_documents)


def _classes(host: HostModel, ids: Int[Tensor, " _"]) -> Int[Tensor, " _"]:
    return torch.where(ids == host.tokenizer.bos_token_id, EXCLUDED, OTHER)
