"""Node effects against a slow implementation that has the SAEs in the autograd graph."""

import math

import pytest
import torch
from circuit_cases import behaviour, contrast_runs, dense, host, resample_runs, saes_at
from spliced_oracle import oracle, plain_torch_metric

from circuits.effects.node_effects import METHODS, effects_of_gradients, score_nodes, site_residuals

ALL_KINDS = ("embed", "attn_out", "mlp_out", "resid_post")


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_attribution_patching_equals_the_spliced_oracle(kind):
    runs = contrast_runs(saes_at(kind))
    for site, scored in score_nodes(runs, "attribution_patching").items():
        expected, expected_errors = oracle(runs, site, alphas=[0.0])
        torch.testing.assert_close(dense(runs, site, scored), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(scored.error_effect, expected_errors, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_integrated_gradients_equal_the_spliced_oracle_at_midpoints(kind):
    runs = contrast_runs(saes_at(kind))
    for site, scored in score_nodes(runs, "integrated_gradients", ig_steps=3).items():
        expected, expected_errors = oracle(runs, site, alphas=[1 / 6, 3 / 6, 5 / 6])
        torch.testing.assert_close(dense(runs, site, scored), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(scored.error_effect, expected_errors, atol=1e-5, rtol=0)


def test_multi_token_answers_equal_the_spliced_oracle():
    runs = contrast_runs(saes_at("resid_post"), behaviour(target="w8 w3", foil="w9"))
    for site, scored in score_nodes(runs, "attribution_patching").items():
        expected, _ = oracle(runs, site, alphas=[0.0])
        torch.testing.assert_close(dense(runs, site, scored), expected, atol=1e-5, rtol=0)


def test_exact_effects_are_what_patching_one_node_does():
    runs = contrast_runs(saes_at("resid_post"))
    site = runs.sites[1]
    scored = score_nodes(runs, "exact")[site]
    sae = runs.dictionaries[site]
    for i in range(0, len(scored.position), 7):
        x = runs.clean[site][0].clone()
        change = scored.baseline_activation[i] - scored.activation[i]
        x[scored.position[i]] += change * sae.W_dec[scored.feature_id[i]]
        expected = plain_torch_metric(runs, site, x).item() - runs.clean_metric
        assert scored.indirect_effect[i].item() == pytest.approx(expected, abs=1e-5)


def test_many_steps_bring_the_residual_to_nothing():
    runs = contrast_runs(saes_at("resid_post"))
    coarse = site_residuals(runs, score_nodes(runs, "integrated_gradients", ig_steps=2))
    fine = site_residuals(runs, score_nodes(runs, "integrated_gradients", ig_steps=200))
    assert max(fine.values()) < 0.01
    assert sum(fine.values()) < sum(coarse.values())


def test_references_are_averaged_with_one_point_each():
    runs = resample_runs(saes_at("resid_post"), n=3)
    site = runs.sites[-1]
    scored = score_nodes(runs)[site]
    sae, n = runs.dictionaries[site], runs.n_positions
    clean = runs.clean[site][0, :n]
    expected = torch.zeros(n, sae.d_sae)
    for reference, alpha in enumerate([1 / 6, 3 / 6, 5 / 6]):
        base = torch.where(runs.at_nodes[:, None], runs.baseline.activations[site][reference], clean)
        x = torch.lerp(clean, base, alpha).requires_grad_(True)
        (gradient,) = torch.autograd.grad(plain_torch_metric(runs, site, x), x)
        expected += (sae.encode(base) - sae.encode(clean)) * (gradient @ sae.W_dec.T) / 3
    torch.testing.assert_close(dense(runs, site, scored), expected * runs.at_nodes[:, None], atol=1e-5, rtol=0)


def test_bos_carries_no_node():
    runs = contrast_runs(saes_at("resid_post"))
    for scored in score_nodes(runs).values():
        assert (scored.position > 0).all()
        assert scored.error_effect[0] == 0


def test_features_equal_on_both_sides_are_left_out():
    runs = contrast_runs(saes_at("resid_post"))
    for scored in score_nodes(runs).values():
        assert not torch.isclose(scored.activation, scored.baseline_activation, rtol=1e-6, atol=1e-7).any()
        assert (scored.position >= 3).all(), "nothing before the changed token can differ"


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="method 'magic' is unknown, expected one of"):
        score_nodes(contrast_runs(saes_at("resid_post")), "magic")


@pytest.mark.parametrize("method", ["frozen", "relp"])
def test_linearised_rules_contract_the_gradients_of_the_linearised_model(method):
    runs = contrast_runs(saes_at("resid_post", "mlp_out"))
    found = host().gradients(runs.batch, runs.sites, runs.behaviour.metric, linearisation=method)
    for site, scored in score_nodes(runs, method).items():
        sae, gradient = runs.dictionaries[site], found.gradients[site][0]
        change = sae.encode(runs.baseline.activations[site][0]) - sae.encode(runs.clean[site][0])
        expected = change * (gradient @ sae.W_dec.T) * runs.at_nodes[:, None]
        torch.testing.assert_close(dense(runs, site, scored), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_every_rule_says_what_it_leaves_unexplained(method):
    runs = contrast_runs(saes_at("resid_post"))
    residuals = site_residuals(runs, score_nodes(runs, method))
    assert list(residuals) == runs.sites
    assert all(math.isfinite(residual) and residual >= 0 for residual in residuals.values())


@pytest.mark.parametrize("make_runs", [contrast_runs, resample_runs])
@pytest.mark.parametrize("method", ["integrated_gradients", "attribution_patching"])
def test_known_gradients_give_the_same_effects_again(make_runs, method):
    runs = make_runs(saes_at("resid_post"))
    scored = score_nodes(runs, method)
    again = effects_of_gradients(runs, {site: effects.gradients for site, effects in scored.items()})
    for site, effects in scored.items():
        torch.testing.assert_close(again[site].indirect_effect, effects.indirect_effect, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(again[site].error_effect, effects.error_effect, atol=1e-6, rtol=1e-5)
