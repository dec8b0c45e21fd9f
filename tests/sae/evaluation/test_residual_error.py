"""The split of an error into a linear and a nonlinear part: closed forms, and what an in-sample fit would claim."""

import pytest
import torch
from evaluation_cases import SITE, documents
from tiny_models import random_sae

from sae.evaluation.causal_split import causal_split
from sae.evaluation.cross_fitted_ridge import cross_fit, folds_of
from sae.evaluation.degenerate import identity_sae, pca_sae, scaling_sae
from sae.evaluation.document_activations import DocumentActivations, document_activations
from sae.evaluation.residual_error import error_parts, fit_error, residual_error
from sae.evaluation.shrinkage import rescaled, rescaled_features

D_MODEL, N_DOCUMENTS, TOKENS_PER_DOCUMENT = 8, 60, 30


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def data():
    x = draw(N_DOCUMENTS * TOKENS_PER_DOCUMENT, D_MODEL) * torch.arange(1, D_MODEL + 1) + 5.0
    return DocumentActivations(x, torch.arange(N_DOCUMENTS).repeat_interleave(TOKENS_PER_DOCUMENT), N_DOCUMENTS)


# Ridge


def test_an_exact_map_is_found(data):
    weight = draw(D_MODEL, 3, seed=1)

    found = cross_fit(data.x, data.x @ weight + 2.0, data.token_documents)

    torch.testing.assert_close(found.predictions, data.x @ weight + 2.0, atol=1e-3, rtol=1e-4)
    for linear_map in found.maps:
        torch.testing.assert_close(linear_map.weight.float(), weight, atol=1e-4, rtol=1e-4)


def test_no_token_is_predicted_by_a_map_that_saw_its_document(data):
    noise = draw(len(data.x), 1, seed=2)
    noise[folds_of(data.token_documents) == 0] += 1000.0

    first_map = cross_fit(data.x, noise, data.token_documents).maps[0]

    assert first_map(data.x).abs().max() < 10


def test_ridge_is_the_solution_of_its_normal_equations(data):
    y = draw(len(data.x), 2, seed=3) + data.x[:, :2]
    found = cross_fit(data.x, y, data.token_documents)
    fold = 1
    rows = folds_of(data.token_documents) != fold
    x, y = data.x[rows].double(), y[rows].double()
    x, y = x - x.mean(0), y - y.mean(0)
    [penalty] = found.penalties[fold]
    gram = x.T @ x
    gram += penalty * gram.trace() / D_MODEL * torch.eye(D_MODEL)

    torch.testing.assert_close(found.maps[fold].weight, torch.linalg.solve(gram, x.T @ y), atol=1e-6, rtol=1e-6)


def test_a_coordinate_that_never_varies_does_no_harm(data):
    x = torch.cat([data.x, torch.ones(len(data.x), 1)], 1)

    found = cross_fit(x, data.x[:, :1], data.token_documents)

    torch.testing.assert_close(found.predictions, data.x[:, :1], atol=1e-3, rtol=1e-3)


def test_too_few_documents_are_refused(data):
    with pytest.raises(ValueError, match="3 documents do not fill 5 folds, expected more documents"):
        cross_fit(data.x[:90], data.x[:90], data.token_documents[:90])


# The split


def test_the_error_of_a_shrunk_identity_is_all_linear_and_gone_when_rescaled(data):
    found = residual_error(scaling_sae(torch.zeros(D_MODEL), factor=0.7), data)

    assert found["sae"].linear_share.value == pytest.approx(1, abs=1e-5)
    assert found["sae"].fvu_nonlinear.value == pytest.approx(0, abs=1e-6)
    assert found["rescaled"].fvu.value == pytest.approx(0, abs=1e-6)
    assert found["features rescaled"].fvu.value == pytest.approx(0, abs=1e-4)


def test_the_error_of_components_is_all_linear(data):
    found = residual_error(pca_sae(data.x, 5), data)

    for name in ("sae", "pca"):
        assert found[name].linear_share.value == pytest.approx(1, abs=1e-4), name
    # each fold has a factor of its own, so that no one map is exact for all
    assert found["rescaled"].linear_share.value == pytest.approx(1, abs=2e-3)
    assert found["pca"].explained_variance.value == pytest.approx(found["sae"].explained_variance.value, abs=1e-6)


def test_an_error_of_noise_is_not_linear_whatever_is_fitted(data):
    """In-sample, least squares would explain about d / N of it; on few tokens that is a lot."""
    few = DocumentActivations(data.x[:60], torch.arange(30).repeat_interleave(2), 30)
    noise = draw(60, D_MODEL, seed=4)

    parts = error_parts("noise", few, few.x - noise)

    design = torch.cat([few.x, torch.ones(60, 1)], 1)
    in_sample = noise - design @ torch.linalg.lstsq(design, noise).solution
    assert 1 - in_sample.square().sum() / (noise - noise.mean(0)).square().sum() > 0.08
    assert parts.linear_share.value < 0.02


def test_a_planted_mixture_is_split_as_it_was_planted(data):
    linear, noise = 0.1 * data.x @ draw(D_MODEL, D_MODEL, seed=5), 0.8 * draw(len(data.x), D_MODEL, seed=6)

    parts = error_parts("mixture", data, data.x - linear - noise)

    total = (data.x - data.x.mean(0)).square().sum()
    assert parts.fvu_nonlinear.value == pytest.approx(float(noise.square().sum() / total), rel=0.03)
    assert parts.fvu_linear.value + parts.fvu_nonlinear.value == pytest.approx(parts.fvu.value)
    assert parts.linear_share.low < parts.linear_share.value < parts.linear_share.high
    by_coordinate = 1 - noise.var(0) / (linear + noise).var(0)
    assert parts.linear_share_of_dimensions.value == pytest.approx(float(by_coordinate.mean()), abs=0.02)


def test_the_size_of_an_error_may_be_linear_where_the_error_is_not(data):
    signs = draw(len(data.x), D_MODEL, seed=7).sign()
    scale = (data.x[:, :1] + 5.0).clamp(min=0.01).sqrt()

    parts = error_parts("sizes", data, data.x - signs * scale)

    assert parts.linear_share.value < 0.02
    assert parts.size_share.value == pytest.approx(1, abs=0.01)


def test_a_perfect_dictionary_has_no_error_to_split(data):
    found = residual_error(identity_sae(D_MODEL), data)

    assert found["sae"].fvu.value == pytest.approx(0, abs=1e-9)
    assert (found["sae"].linear_share.value, found["sae"].linear_share.reason) == (
        None,
        "it is not defined on these units",
    )


def test_too_few_tokens_are_refused(data):
    few = DocumentActivations(data.x[:300], data.token_documents[:300], 10)
    with pytest.raises(ValueError, match="300 tokens are too few to fit maps of d_model 8, expected at least 400"):
        residual_error(identity_sae(D_MODEL), few)


# Rescaling


def test_factors_that_were_taken_away_are_found_again(data):
    sae = random_sae(d_model=D_MODEL, d_sae=24)
    acts = sae.encode(data.x)
    factors = 1 + draw(24, seed=8).abs()
    x = (acts * factors) @ sae.decoder_rows + 3.0
    wider = type(sae)(
        encoder_rows=sae.encoder_rows,
        b_enc=sae.b_enc,
        decoder_rows=sae.decoder_rows,
        b_dec=torch.zeros(D_MODEL),
        threshold=sae.threshold,
    )
    # features are read off the original activations
    wider.encode_sparse = lambda rows: sae.encode_sparse(data.x[torch.cdist(rows, x).argmin(1)])

    found = rescaled_features(wider, x, data.token_documents)

    assert (x - found).square().mean() < 1e-3 * x.var()


def test_rescaling_by_feature_is_no_worse_than_by_one_factor(data):
    sae = random_sae(d_model=D_MODEL, d_sae=24, seed=2)
    x_hat = sae.decode(sae.encode(data.x))

    by_feature = (data.x - rescaled_features(sae, data.x, data.token_documents)).square().sum()
    by_scalar = (data.x - rescaled(data.x, x_hat, data.token_documents)).square().sum()

    assert by_feature < by_scalar < (data.x - x_hat).square().sum()


def test_a_random_dictionary_is_as_good_as_the_dictionary_where_it_can_be(data):
    weak = random_sae(d_model=D_MODEL, d_sae=64, seed=9)
    found = residual_error(weak, data)

    assert found["random"].explained_variance.value >= min(0.5, found["sae"].explained_variance.value) - 0.05


# What the parts cost


def test_the_split_of_the_loss(tiny_host):
    found = documents(tiny_host, 40)
    activations = document_activations(tiny_host, found, SITE)
    sae = random_sae(d_model=32, seed=3)
    fit = fit_error(activations, sae.decode(sae.encode(activations.x)))

    split = causal_split(tiny_host, found, SITE, sae, fit)

    assert split.delta_ce.n == 40
    assert split.nonlinear_share.value == pytest.approx(split.delta_ce_nonlinear.value / split.delta_ce.value)


def test_a_shrunk_identity_costs_nothing_once_its_linear_error_is_gone(tiny_host):
    found = documents(tiny_host, 40)
    activations = document_activations(tiny_host, found, SITE)
    sae = scaling_sae(torch.zeros(32), factor=0.5)
    fit = fit_error(activations, sae.decode(sae.encode(activations.x)))

    split = causal_split(tiny_host, found, SITE, sae, fit)

    assert split.delta_ce_nonlinear.value == pytest.approx(0, abs=1e-4)
    assert split.delta_ce_linear.value == pytest.approx(split.delta_ce.value, abs=1e-3)
