"""Node effects against a slow implementation that has the SAEs in the autograd graph."""

import pytest
import torch
from circuit_cases import behaviour, contrast_runs, dense, host, resample_runs, saes_at

from circuits.effects.node_effects import score_nodes, site_residuals
from circuits.runs.runs import Runs
from sae.host.sites import Site


def oracle(runs: Runs, site: Site, *, alphas):
    """Integrated gradients in feature space for the contrast baseline: features and error move together."""
    sae, n = runs.dictionaries[site], runs.n_positions
    clean, base = runs.clean[site][0, :n], runs.baseline.activations[site][0]
    f_clean, f_base = sae.encode(clean), sae.encode(base)
    e_clean, e_base = clean - sae.decode(f_clean), base - sae.decode(f_base)
    is_node = runs.at_nodes[:, None]
    total_f, total_e = torch.zeros_like(f_clean), torch.zeros_like(e_clean)
    for alpha in alphas:
        f = ((1 - alpha) * f_clean + alpha * f_base).requires_grad_(True)
        e = ((1 - alpha) * e_clean + alpha * e_base).requires_grad_(True)
        m = plain_torch_metric(runs, site, torch.where(is_node, sae.decode(f) + e, clean))
        by_f, by_e = torch.autograd.grad(m, [f, e])
        total_f += by_f / len(alphas)
        total_e += by_e / len(alphas)
    return (f_base - f_clean) * total_f * is_node, ((e_base - e_clean) * total_e).sum(-1) * runs.at_nodes


def plain_torch_metric(runs: Runs, site: Site, x):
    """m with the site's output replaced by a plain forward hook, without the host's machinery."""
    model = host()._model
    layer = model.model.layers[site.layer] if site.layer is not None else None
    module = {
        "embed": model.model.embed_tokens,
        "attn_out": layer and layer.self_attn,
        "mlp_out": layer and layer.mlp,
        "resid_post": layer,
    }[site.kind]
    tail = runs.batch.ids.shape[1] - runs.n_positions

    def replace(_, __, output):
        live = output[0] if isinstance(output, tuple) else output
        rows = x.expand(live.shape[0], -1, -1)
        new = torch.cat([rows, live[:, -tail:]], dim=1) if tail else rows
        return (new, *output[1:]) if isinstance(output, tuple) else new

    handle = module.register_forward_hook(replace)
    try:
        inputs = {"input_ids": runs.batch.ids, "attention_mask": runs.batch.attention_mask.long()}
        logits = model(**inputs, position_ids=runs.batch.position_ids, use_cache=False).logits
    finally:
        handle.remove()
    return runs.behaviour.metric(logits[:, -runs.behaviour.kept_logits :]).sum()


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
