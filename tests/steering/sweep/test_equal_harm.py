"""Reading an effect off at equal harm, against curves with a closed form."""

import pytest
import torch

from steering.sweep.equal_harm import effect_at_harm, strength_at_harm

STRENGTHS = torch.linspace(0, 3, 301, dtype=torch.float64)
HARMS, EFFECTS = STRENGTHS.square(), 1 - (-STRENGTHS).exp()


def effect(harms, effects, level):
    return float(effect_at_harm(harms[None], effects[None], torch.tensor([level], dtype=torch.float64))[0])


@pytest.mark.parametrize("level", [0.01, 0.3, 1.0, 2.7, 9.0])
def test_a_fine_grid_gives_the_closed_form(level):
    strength = level**0.5
    assert strength_at_harm(STRENGTHS, HARMS, level) == pytest.approx(strength, abs=1e-2)
    assert effect(HARMS, EFFECTS, level) == pytest.approx(1 - 2.718281828**-strength, abs=5e-3)


def test_between_two_strengths_it_is_their_mixture():
    harms, effects = torch.tensor([0.0, 1.0, 3.0]).double(), torch.tensor([0.0, 0.2, 1.0]).double()
    assert effect(harms, effects, 2.0) == pytest.approx(0.6)
    assert effect(harms, effects, 0.5) == pytest.approx(0.1)
    assert effect(harms, effects, 1.0) == pytest.approx(0.2)


def test_the_first_strength_that_does_the_harm_counts():
    harms, effects = torch.tensor([0.0, 2.0, 1.0, 4.0]).double(), torch.tensor([0.0, 0.1, 0.5, 1.0]).double()
    assert effect(harms, effects, 1.0) == pytest.approx(0.05)


def test_no_harm_is_had_without_steering():
    assert effect(HARMS, EFFECTS, 0.0) == 0.0
    assert effect(torch.zeros(3).double(), torch.tensor([0.1, 1.0, 1.0]).double(), 0.0) == pytest.approx(0.1)


def test_curves_that_do_not_meet_give_no_number():
    assert torch.tensor(effect(HARMS, EFFECTS, 9.1)).isnan()
    assert torch.tensor(strength_at_harm(STRENGTHS, HARMS, 9.1)).isnan()


def test_draws_are_read_one_by_one():
    harms = torch.stack([HARMS, 2 * HARMS, HARMS / 100])
    levels = torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64)
    found = effect_at_harm(harms, EFFECTS.expand(3, -1), levels)
    assert found[0].item() == pytest.approx(effect(HARMS, EFFECTS, 1.0))
    assert found[1].item() == pytest.approx(effect(HARMS, EFFECTS, 0.5))
    assert found[2].isnan()
