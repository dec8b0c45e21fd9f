"""The learned mask: its run against the masked run of a circuit, its gradient against differences, what it finds."""

from dataclasses import replace
from itertools import islice

import pytest
import torch
from circuit_cases import behaviour, contrast_runs, resample_runs, saes_at

from circuits.effects.ensemble_effects import score_ensemble
from circuits.evaluation.kept_share import faithfulness
from circuits.evaluation.learned_mask import MaskTraining, _lost_metric, _slots_of, learn_mask
from circuits.evaluation.masked_runs import ensemble_metrics
from circuits.evaluation.selection import Ranking
from circuits.runs.ensemble import Ensemble
from circuits.runs.node_set import NodeSet
from circuits.runs.places import token_places


def scored(runs):
    ensemble = Ensemble.lone(runs)
    return ensemble, score_ensemble(ensemble).at_places


def lost(ensemble, effects, shares):
    slots = _slots_of(ensemble, 0, effects)
    return _lost_metric(ensemble.first, slots, shares, torch.Generator().manual_seed(0))


def smallest(ensemble, ranking, wanted, largest=120):
    sets = [NodeSet({}), *(ranking.top(n) for n in range(1, largest + 1))]
    metrics = ensemble_metrics(ensemble, sets)
    values = faithfulness(metrics[1:], metrics[0], ensemble.clean_metrics).tolist()
    return next((n for n, value in enumerate(values, start=1) if value >= wanted), None)


@pytest.mark.parametrize("make_runs", [contrast_runs, resample_runs])
def test_shares_of_0_and_1_are_the_masked_run_of_a_circuit(make_runs):
    ensemble, effects = scored(make_runs(saes_at("resid_post", "mlp_out")))
    ranking = Ranking.by_effect(effects)
    kept = ranking.top(12)
    shares = {}
    for site, nodes in effects.items():
        position, feature_id = kept.nodes.get(site, (nodes.position[:0], nodes.feature_id[:0]))
        chosen = set(zip(position.tolist(), feature_id.tolist(), strict=True))
        pairs = zip(nodes.position.tolist(), nodes.feature_id.tolist(), strict=True)
        shares[site] = torch.tensor([float(pair in chosen) for pair in pairs])
    expected = ensemble.clean_metric - ensemble_metrics(ensemble, [kept]).mean().item()
    assert lost(ensemble, effects, shares).item() == pytest.approx(expected, abs=1e-4)


def test_multi_token_answers_are_masked_in_both_rows():
    ensemble, effects = scored(contrast_runs(saes_at("resid_post"), behaviour(target="w8 w3", foil="w9")))
    shares = {site: torch.zeros(len(nodes.position)) for site, nodes in effects.items()}
    expected = ensemble.clean_metric - ensemble_metrics(ensemble, [NodeSet({})]).item()
    assert lost(ensemble, effects, shares).item() == pytest.approx(expected, abs=1e-4)


def test_gradients_by_the_shares_are_those_of_small_differences():
    ensemble, effects = scored(contrast_runs(saes_at("resid_post")))
    shares = {site: torch.full((len(nodes.position),), 0.7) for site, nodes in effects.items()}
    site = ensemble.sites[1]
    shares[site].requires_grad_(True)
    (gradient,) = torch.autograd.grad(lost(ensemble, effects, shares), shares[site])
    for node in gradient.abs().topk(3).indices.tolist():
        step = torch.zeros_like(gradient).index_fill(0, torch.tensor([node]), 1e-2)
        sides = [lost(ensemble, effects, {**shares, site: shares[site].detach() + s * step}).item() for s in (1, -1)]
        assert (sides[0] - sides[1]) / 2e-2 == pytest.approx(gradient[node].item(), rel=0.05, abs=2e-3)


@pytest.mark.slow
def test_the_mask_keeps_the_goal_with_no_more_nodes_than_chance_needs():
    ensemble, effects = scored(contrast_runs(saes_at("resid_post")))
    logits = learn_mask(ensemble, effects, goal=0.8)
    ranking = Ranking.by_score(effects, logits)
    assert all(torch.isfinite(logit).all() for logit in logits.values())
    n = smallest(ensemble, ranking, 0.8)
    assert n is not None
    metrics = ensemble_metrics(ensemble, [NodeSet({}), *(ranking.random(n, seed) for seed in range(8))])
    assert faithfulness(metrics[1:], metrics[0], ensemble.clean_metrics).mean() < 0.8


@pytest.mark.slow
def test_a_high_price_keeps_fewer_nodes():
    ensemble, effects = scored(contrast_runs(saes_at("resid_post")))
    kept = []
    for price in (0.0, 0.003, 10.0):
        logits = learn_mask(ensemble, effects, training=MaskTraining(steps=60, price=price))
        kept.append(sum(int((logit > 0).sum()) for logit in logits.values()))
    assert kept[0] > kept[1] > kept[2] == 0


def test_one_mask_serves_several_prompts():
    runs = contrast_runs(saes_at("resid_post"))
    lone, effects = scored(runs)
    both = Ensemble((runs, runs), token_places([runs.behaviour.tokens] * 2))
    expected, found = (learn_mask(e, effects, training=MaskTraining(steps=20)) for e in (lone, both))
    for site in effects:
        torch.testing.assert_close(found[site], expected[site], atol=1e-3, rtol=0)


def test_the_same_seed_gives_the_same_mask():
    ensemble, effects = scored(resample_runs(saes_at("resid_post"), n=6))
    first, second = (learn_mask(ensemble, effects, training=MaskTraining(steps=10), seed=3) for _ in range(2))
    assert all(torch.equal(first[site], second[site]) for site in effects)


def test_a_behaviour_that_the_baseline_keeps_leaves_nothing_to_learn():
    runs = contrast_runs(saes_at("resid_post"))
    ensemble, effects = scored(runs)
    empty = ensemble_metrics(ensemble, [NodeSet({})]).item()
    with pytest.raises(ValueError, match="there is nothing for a mask to keep"):
        learn_mask(Ensemble.lone(replace(runs, clean_metric=empty)), effects)


@pytest.mark.slow
def test_on_clinic_pairs_a_mask_needs_about_as_few_nodes_as_attribution():
    """Where both reach the wanted share; attribution's prefixes are close to minimal there."""
    from circuits.prompts.behaviour import describe_behaviour
    from circuits.runs.baselines import contrast_baseline
    from circuits.runs.runs import Runs, node_positions
    from circuits.workbench import open_workbench
    from experiments.clinic.check_circuits import _answerable_pairs

    bench = open_workbench("clinic")
    host, saes = bench.host, bench.dictionaries
    n_nodes = []
    for case, contrast in islice(_answerable_pairs(host), 4):
        about = describe_behaviour(host, case.prompt, contrast=contrast.prompt)
        baseline = contrast_baseline(host, saes, about.contrast_ids, node_positions(host, about))
        ensemble, effects = scored(Runs.record(host, about, saes, baseline))
        mask = Ranking.by_score(effects, learn_mask(ensemble, effects, goal=0.8))
        n_nodes.append((smallest(ensemble, Ranking.by_effect(effects), 0.8), smallest(ensemble, mask, 0.8)))
    reached = [pair for pair in n_nodes if None not in pair]
    assert reached
    assert sum(mask for _, mask in reached) <= 1.25 * sum(attribution for attribution, _ in reached)
