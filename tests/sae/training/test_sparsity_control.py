"""The L0 controller: right signs, bounds, and it reaches what is wanted whatever the penalty can do."""

import math

import pytest

from sae.training.sparsity_control import HIGHEST, LOWEST, L0Controller


def controller(**settings):
    return L0Controller(**({"proportional_gain": 0.03, "integral_gain": 0.2, "coefficient": 1e-3} | settings))


def simulate(control, *, target, steps, penalty_limit=1.0):
    """L0 of one threshold that the penalty pushes up and reconstruction pulls down, both bounded as under Adam."""
    log_threshold = 0.0
    for _ in range(steps):
        l0 = 60 * math.exp(-3 * log_threshold)
        log_threshold += math.log(control.update(l0, target))
        push = math.tanh(math.log(control.coefficient / 0.02))
        log_threshold += 0.003 * min(push, penalty_limit)
    return l0


def test_too_many_features_raise_thresholds_and_coefficient_and_too_few_lower_them():
    control = controller()
    assert control.update(20.0, 10.0) > 1
    assert control.coefficient > 1e-3
    control = controller()
    assert control.update(5.0, 10.0) < 1
    assert control.coefficient < 1e-3


def test_the_wanted_l0_leaves_everything_as_it_is():
    control = controller()
    assert control.update(10.0, 10.0) == 1.0
    assert control.coefficient == pytest.approx(1e-3)


def test_the_wanted_l0_is_reached_and_the_penalty_ends_up_holding_it():
    control = controller()
    assert simulate(control, target=8.0, steps=600) == pytest.approx(8, rel=0.01)
    assert control.coefficient == pytest.approx(0.02, rel=0.05)


def test_a_penalty_that_cannot_hold_the_thresholds_costs_little():
    # it always drags down; what remains is the error at which the proportional part holds against it
    l0 = simulate(controller(), target=8.0, steps=600, penalty_limit=-0.5)
    assert l0 == pytest.approx(8 * math.exp(0.0015 / 0.03), rel=0.01)


def test_the_coefficient_stays_within_bounds_and_comes_back_at_once():
    control = controller(integral_gain=1.0)
    for _ in range(100):
        control.update(1000.0, 1.0)
    assert control.coefficient == HIGHEST
    control.update(0.5, 1.0)
    assert control.coefficient == pytest.approx(0.5 * HIGHEST)
    for _ in range(100):
        control.update(0.0, 1.0)
    assert control.coefficient == LOWEST


def test_nothing_active_lowers_thresholds_by_a_bounded_step():
    assert controller().update(0.0, 8.0) == pytest.approx(math.exp(-0.03))


def test_it_goes_on_from_a_state():
    first, second = controller(), controller()
    first.update(30.0, 8.0)
    second.load_state_dict(first.state_dict())
    assert first.update(9.0, 8.0) == second.update(9.0, 8.0)
    assert first.state_dict() == second.state_dict()


def test_the_thresholds_of_dead_features_fall_at_the_largest_rate():
    control = controller()
    assert control.dead_factor == pytest.approx(math.exp(-0.03))
    assert control.dead_factor == controller().update(0.0, 8.0)
