"""Strengths, draws and interpolation of the steering check, where they can be done by hand."""

import pytest
import torch

from experiments.clinic.steering_curves import SteeringCurve, chosen_strengths
from experiments.clinic.steering_draws import CaseDraws, means_by_diagnosis


def curve() -> SteeringCurve:
    """Two diagnoses, four cases: the first flips case by case, the second never does."""
    flips = torch.zeros(3, 2, 4, dtype=torch.float64)
    flips[1, 0, :2] = 1.0
    flips[2, 0] = 1.0
    strengths = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    divergences = strengths[:, None, None].expand(3, 2, 4).clone()
    return SteeringCurve(strengths, flips, divergences, 2 * divergences, torch.ones(2, 4, dtype=torch.bool))


def test_the_least_strength_that_flips_enough_is_between_those_that_were_run():
    everything = torch.ones(4, dtype=torch.bool)
    assert chosen_strengths(curve(), everything, 0.75).tolist() == [1.5, 0.0]
    assert chosen_strengths(curve(), everything, 0.5).tolist() == [1.0, 0.0]
    # only the cases that choose are looked at: of these the first strength flips all
    assert float(chosen_strengths(curve(), torch.tensor([True, True, False, False]), 1.0)[0]) == 1.0


def test_outcomes_between_strengths_are_mixed_and_those_beyond_are_the_last():
    found = curve()
    wanted = torch.tensor([[0.0, 0.5], [1.5, 9.0]], dtype=torch.float64)
    divergences = found.at(found.divergences, wanted)
    assert divergences[..., 0].tolist() == [[0.0, 0.5], [1.5, 2.0]]
    assert found.at(found.flips, wanted)[1, 0].tolist() == [1.0, 1.0, 0.5, 0.5]


def test_the_first_draw_is_the_value_and_nothing_else_counts():
    outcomes = torch.tensor([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
    counts = torch.tensor([[True, True, True, False], [True, True, True, True]])
    counted = torch.tensor([False, True, True, True])
    draws = CaseDraws.of(counted, 2, seed=0)
    means = draws.means(outcomes, counts)
    assert float(means[0]) == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert means_by_diagnosis(outcomes, counts & counted).tolist() == pytest.approx([1 / 2, 1 / 3])
    same = draws.means(torch.ones(3, 2, 4, dtype=torch.float64), counts)
    assert same.shape == (1001, 3)
    assert bool(((same == 1) | same.isnan()).all())
