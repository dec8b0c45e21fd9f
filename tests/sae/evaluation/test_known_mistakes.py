"""Mistakes that published evaluations make, each with what it would say, and that ours does not make it."""

import pytest
import torch
from evaluation_cases import SITE, all_activations, documents
from tiny_models import random_sae, tiny_llama

from sae.annotated_text import AnnotatedText
from sae.evaluation.collecting import collect
from sae.evaluation.degenerate import constant_sae
from sae.evaluation.document_activations import DocumentActivations
from sae.evaluation.fidelity import measure_fidelity
from sae.evaluation.metrics import METRICS, measure
from sae.evaluation.next_token_scores import next_token_scores
from sae.evaluation.position_classes import read_evaluation_documents
from sae.evaluation.residual_error import error_parts

X = torch.randn(4000, 16, generator=torch.Generator().manual_seed(0))
TOKEN_DOCUMENTS = torch.arange(80).repeat_interleave(50)


def averaging_squares(x, x_hat):
    """Explained variance about the mean of the squares, as it has been published: one number for all dimensions."""
    of_dimensions = x.square().mean(0).mean()
    return float(1 - (x - x_hat).square().sum() / (x - of_dimensions).square().sum())


@pytest.mark.parametrize("scale", [0.0, 1.0, 5.0, 20.0])
def test_a_constant_predictor_explains_nothing_wherever_the_mean_is(scale):
    x = X + scale
    x_hat = x.mean(0).expand_as(x)

    parts = error_parts("mean", DocumentActivations(x, TOKEN_DOCUMENTS, 80), x_hat)

    assert parts.explained_variance.value == pytest.approx(0, abs=1e-5)
    assert measure_fidelity(constant_sae(x.mean(0)), x).explained_variance == pytest.approx(0, abs=1e-5)
    if scale == 5.0:
        assert averaging_squares(x, x_hat) > 0.9


@pytest.mark.parametrize("scale", [0.0, 5.0, 20.0])
def test_noise_of_half_the_variance_explains_half_wherever_the_mean_is(scale):
    x = X + scale
    noise = 0.7 * torch.randn(X.shape, generator=torch.Generator().manual_seed(1))

    parts = error_parts("noise", DocumentActivations(x, TOKEN_DOCUMENTS, 80), x + noise)

    assert parts.explained_variance.value == pytest.approx(0.51, abs=0.02)


def test_a_divergence_is_finite_where_a_softmax_underflows(tiny_host):
    """The logarithm of a softmax is minus infinity there, and a sum over it not a number."""
    stream = 1e4 * torch.randn(6, 32, generator=torch.Generator().manual_seed(2))
    head = tiny_llama(tie_word_embeddings=False)
    head._model.lm_head.weight.data *= 1e3

    _, runs = next_token_scores(head, stream, {"other": -stream}, torch.arange(4, 10))

    naive = head.unembed(stream).softmax(-1).log()
    assert naive.isinf().any()
    assert runs["other"].divergence.isfinite().all()
    assert (runs["other"].divergence > 1).any()


def test_the_beginning_of_text_is_neither_spliced_nor_counted(tiny_host):
    """Kept, it adds variance that is easily explained, and its replacement costs all that follows."""
    found = documents(tiny_host, 10)
    x = all_activations(tiny_host, found)
    dictionaries = {"sae": random_sae(seed=3), "zero": constant_sae(torch.zeros(32)), "mean": constant_sae(x.mean(0))}
    table = collect(tiny_host, found, SITE, dictionaries, shift=x.double().mean(0))

    assert table.text.n_tokens.sum() == sum(len(document.ids) - 1 for document in found)
    assert table.text.n_predictions.sum() == sum(len(document.ids) - 2 for document in found)


def test_every_text_is_measured_about_one_mean(tiny_host):
    """The mean of variances within texts is smaller than the variance over all texts, and scores that use the one
    cannot stand beside scores that use the other."""
    texts = [AnnotatedText(" ".join([f"w{word}"] * 6)) for word in range(20)]
    found = read_evaluation_documents(tiny_host, texts, n_tokens=1000, context_tokens=64)
    x = all_activations(tiny_host, found)
    sae = random_sae(seed=3)
    dictionaries = {"sae": sae, "zero": constant_sae(torch.zeros(32)), "mean": constant_sae(x.mean(0))}
    table = collect(tiny_host, found, SITE, dictionaries, shift=x.double().mean(0))
    error = (x - sae.decode(sae.encode(x))).square()

    pooled = 1 - error.sum() / (x - x.mean(0)).square().sum()
    centred = torch.cat([part - part.mean(0) for part in x.split(6)]).square()
    within = torch.stack([1 - e.sum() / c.sum() for e, c in zip(error.split(6), centred.split(6), strict=True)]).mean()
    assert measure(METRICS["explained_variance"], table, "sae").value == pytest.approx(float(pooled), rel=1e-3)
    assert abs(float(pooled - within)) > 0.1
