"""The path from clean to baseline: its rules, and its refinement until a site is explained."""

from dataclasses import replace

import pytest
import torch
from circuit_cases import contrast_runs, dense, resample_runs, saes_at
from spliced_oracle import oracle

from circuits.effects.node_effects import score_nodes, site_residuals
from circuits.effects.path_gradients import MOST_IG_STEPS, Path, path_gradient
from circuits.effects.site_replacement import effect_of_replacing


def test_the_left_rule_equals_the_spliced_oracle_at_left_points():
    runs = contrast_runs(saes_at("resid_post"))
    for site, scored in score_nodes(runs, ig_steps=4, ig_rule="left").items():
        expected, expected_errors = oracle(runs, site, alphas=[0.0, 0.25, 0.5, 0.75])
        torch.testing.assert_close(dense(runs, site, scored), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(scored.error_effect, expected_errors, atol=1e-5, rtol=0)
        assert scored.n_points == 4


def test_one_left_point_is_attribution_patching():
    runs = contrast_runs(saes_at("resid_post"))
    patched = score_nodes(runs, "attribution_patching")
    for site, scored in score_nodes(runs, ig_steps=1, ig_rule="left").items():
        torch.testing.assert_close(scored.indirect_effect, patched[site].indirect_effect, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("make_runs", [contrast_runs, resample_runs])
@pytest.mark.parametrize("rule", ["midpoint", "left"])
def test_refinement_goes_on_until_the_effects_add_up(make_runs, rule):
    runs = make_runs(saes_at("resid_post"))
    effects = score_nodes(runs, ig_steps=1, ig_rule=rule, ig_tolerance=0.02)
    for site, residual in site_residuals(runs, effects).items():
        allowed = 0.02 * abs(effect_of_replacing(runs, site)) + 1e-4
        assert residual <= allowed or 2 * effects[site].n_points > MOST_IG_STEPS, str(site)
    assert max(scored.n_points for scored in effects.values()) > runs.baseline.n_references


def test_a_loose_tolerance_costs_no_more_points():
    runs = contrast_runs(saes_at("resid_post"))
    loose = score_nodes(runs, ig_tolerance=1e9)
    for site, scored in score_nodes(runs).items():
        assert loose[site].n_points == scored.n_points == 5
        assert torch.equal(loose[site].indirect_effect, scored.indirect_effect)


def test_a_tolerance_out_of_reach_ends_at_the_cap():
    runs = contrast_runs(saes_at("resid_post"))
    found = path_gradient(runs, runs.sites[0], Path(5, "left", 1e-9))
    assert found.n_points == MOST_IG_STEPS
    assert torch.isfinite(found.gradient).all()


def test_references_take_the_points_in_turn():
    """Twice as many points as references: each reference has two, half the path apart."""
    runs = resample_runs(saes_at("resid_post"), n=3)
    site = runs.sites[1]
    found = path_gradient(runs, site, Path(tolerance=None))
    assert found.n_points == 3
    finer = path_gradient(runs, site, Path(tolerance=1e-9))
    assert finer.n_points == 3 * 2**6
    assert finer.gradient.shape == found.gradient.shape
    exact = effect_of_replacing(runs, site)
    residual = site_residuals(runs, score_nodes(runs, ig_tolerance=1e-9))[site]
    assert residual < 0.02 * abs(exact)


def test_a_site_that_equals_its_baseline_needs_no_refinement():
    runs = contrast_runs(saes_at("resid_post"))
    same = {site: x[:1, : runs.n_positions] for site, x in runs.clean.items()}
    unchanged = replace(runs, baseline=replace(runs.baseline, activations=same))
    assert path_gradient(unchanged, runs.sites[0], Path(tolerance=1e-3)).n_points == 5


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="ig_rule 'right' is unknown, expected one of midpoint, left"):
        Path(rule="right")
