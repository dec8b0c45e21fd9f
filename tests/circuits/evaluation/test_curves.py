"""Curves on the tiny model: their ends, their complements, and errors in three ways."""

from dataclasses import replace

import pytest
import torch
from circuit_cases import behaviour, contrast_runs, host, resample_runs, saes_at

from circuits.effects.ensemble_effects import score_ensemble
from circuits.evaluation.curves import ERRORS, measure_curves
from circuits.evaluation.masked_runs import ensemble_metrics
from circuits.evaluation.orders import all_errors, complement, leading_first, union, with_errors
from circuits.evaluation.selection import Ranking
from circuits.runs.baselines import Baseline
from circuits.runs.ensemble import Ensemble
from circuits.runs.node_set import NodeSet


@pytest.fixture(scope="module", params=[contrast_runs, resample_runs])
def case(request):
    ensemble = Ensemble.lone(request.param(saes_at("resid_post")))
    effects = score_ensemble(ensemble).at_places
    return ensemble, effects, Ranking.by_effect(effects)


def test_with_every_node_and_error_a_circuit_is_the_model(case):
    ensemble, effects, ranking = case
    everything = union([ranking.top(len(ranking)), all_errors(ensemble)])
    found = ensemble_metrics(ensemble, [everything])[0]
    torch.testing.assert_close(found, ensemble.clean_metrics, atol=1e-4, rtol=1e-4)
    curves = measure_curves(ensemble, ranking.top(5), ranking, effects, sizes=(1, len(ranking)))
    assert curves.points["kept"][-1].faithfulness.value == pytest.approx(1.0, abs=1e-3)
    assert curves.points["as_nodes"][-1].share <= 1.0


def test_the_complement_of_all_nodes_keeps_nothing(case):
    ensemble, effects, ranking = case
    curves = measure_curves(ensemble, ranking.top(5), ranking, effects, sizes=(len(ranking),))
    last = curves.points["at_baseline"][-1]
    assert (last.n_nodes, last.completeness.value) == (len(ranking), pytest.approx(0.0, abs=1e-5))
    assert set(curves.points) == set(curves.areas) == set(ERRORS)


def test_a_circuit_equals_itself_measured_alone(case):
    ensemble, effects, ranking = case
    curves = measure_curves(ensemble, ranking.top(7), ranking, effects, sizes=(3, 7))
    assert curves.circuit.faithfulness.value == pytest.approx(
        curves.points["at_baseline"][1].faithfulness.value, abs=1e-5
    )
    alone = ensemble_metrics(ensemble, [ranking.top(7)])
    assert curves.scale.shares(alone)[0].item() == pytest.approx(curves.circuit.faithfulness.value, abs=1e-5)


def test_a_kept_error_equals_the_slow_form():
    runs = contrast_runs(saes_at("resid_post"))
    site = runs.sites[1]
    kept = NodeSet({site: (torch.tensor([3]), torch.tensor([-1]))})
    moved = runs.baseline.activations[site][0].clone()
    moved[3] += runs.clean_error(site)[3] - runs.baseline_error(site, 0)[3]

    def edit_of(place):
        x_masked = moved if place == site else runs.baseline.activations[place][0]
        return lambda x: torch.where(runs.batch.node_mask[..., None], x_masked, x)

    edits = {place: edit_of(place) for place in runs.sites}
    expected = runs.behaviour.metric(host().forward(runs.batch, edits, logits_to_keep=1).logits)
    torch.testing.assert_close(ensemble_metrics(Ensemble.lone(runs), [kept])[0], expected, atol=1e-5, rtol=1e-5)


def test_a_prompt_against_itself_raises():
    ensemble = Ensemble.lone(contrast_runs(saes_at("resid_post")))
    effects = score_ensemble(ensemble).at_places
    ranking = Ranking.by_effect(effects)
    runs = ensemble.first
    own = {site: x[:1, : runs.n_positions] for site, x in runs.clean.items()}
    itself = Baseline("mean", own, runs.clean_features)
    alike = Ensemble.lone(replace(runs, baseline=itself))
    with pytest.raises(ValueError, match="faithfulness is undefined"):
        measure_curves(alike, ranking.top(3), ranking, effects)


def test_orders(case):
    _, effects, ranking = case
    signed = leading_first(ranking, 1.0)
    assert signed.effect.tolist() == sorted(ranking.effect.tolist())
    joined = with_errors(ranking, effects)
    assert len(joined) > len(ranking)
    assert (joined.effect.abs().diff() <= 0).all()
    assert len(complement(ranking, ranking.top(9))) == len(ranking) - 9


def swapped() -> Ensemble:
    """The same runs, asked the other way round: the metric and its gap have the other sign."""
    about = behaviour()
    other = behaviour(target=about.foil.text.strip(), foil=about.target.text.strip())
    return Ensemble.lone(contrast_runs(saes_at("resid_post"), other))


def test_areas_do_not_depend_on_which_answer_is_called_the_target():
    found = []
    for ensemble in (Ensemble.lone(contrast_runs(saes_at("resid_post"))), swapped()):
        effects = score_ensemble(ensemble).at_places
        ranking = Ranking.by_effect(effects)
        found.append(measure_curves(ensemble, ranking.top(5), ranking, effects, sizes=(3,)))
    one, other = found
    assert one.scale.gap == pytest.approx(-other.scale.gap, abs=1e-5)
    for errors in ERRORS:
        assert one.areas[errors].cpr.value == pytest.approx(other.areas[errors].cpr.value, abs=1e-4)
        assert one.areas[errors].cmd.value == pytest.approx(other.areas[errors].cmd.value, abs=1e-4)


def test_nodes_lead_to_the_model_by_the_sign_of_the_gap(case):
    _, _, ranking = case
    assert leading_first(ranking, 2.0).effect.tolist() == sorted(ranking.effect.tolist())
    assert leading_first(ranking, -2.0).effect.tolist() == sorted(ranking.effect.tolist(), reverse=True)
