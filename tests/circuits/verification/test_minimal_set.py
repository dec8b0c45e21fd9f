"""Minimal sets: kept share measured again, nothing left that could go, whatever the batch."""

import pytest
import torch
from circuit_cases import contrast_runs, resample_runs, saes_at

from circuits.effects.node_effects import score_nodes
from circuits.evaluation.kept_share import bootstrap_interval
from circuits.evaluation.masked_runs import ensemble_metrics
from circuits.evaluation.selection import Ranking
from circuits.runs import runs as runs_module
from circuits.runs.ensemble import Ensemble
from circuits.verification.minimal_set import SetMeter, eliminate, smallest_by_rank

WANTED = 0.6


def meter(make_runs) -> SetMeter:
    runs = make_runs(saes_at("resid_post"))
    return SetMeter(Ensemble.lone(runs), Ranking.by_effect(score_nodes(runs)))


def reachable(of: SetMeter) -> float:
    """A share that all nodes together surely keep."""
    return 0.8 * of.lower_ends([torch.arange(len(of.ranking))])[0].item()


def test_what_is_left_keeps_enough_and_nothing_more_can_go():
    of = meter(contrast_runs)
    wanted = reachable(of)
    n = smallest_by_rank(of, wanted)
    left = eliminate(of, torch.arange(n), wanted)
    assert 0 < len(left) <= n
    assert of.lower_ends([left])[0] >= wanted - 1e-5
    without = [torch.cat([left[:i], left[i + 1 :]]) for i in range(len(left))]
    assert len(left) == 1 or of.lower_ends(without).max() < wanted
    assert of.lower_ends([torch.arange(n - 1)])[0] < wanted or n == 1


def test_the_lower_end_is_that_of_the_interval():
    of = meter(resample_runs)
    ranks = torch.arange(9)
    kept = ensemble_metrics(of.ensemble, [of.ranking.chosen(ranks)])[0]
    low, _ = bootstrap_interval(kept, of.empty, of.ensemble.clean_metrics)
    assert of.lower_ends([ranks])[0].item() == pytest.approx(low, abs=1e-4)


def test_the_size_of_a_batch_decides_nothing(monkeypatch):
    of = meter(contrast_runs)
    wanted = reachable(of)
    whole = eliminate(of, torch.arange(12), 0.0 * wanted)
    monkeypatch.setattr(runs_module, "TOKENS_PER_PASS", 6)
    assert torch.equal(whole, eliminate(of, torch.arange(12), 0.0 * wanted))


def test_what_is_out_of_reach_is_said():
    with pytest.raises(ValueError, match="is out of reach"):
        smallest_by_rank(meter(contrast_runs), 1e6)
