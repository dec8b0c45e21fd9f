"""What a loss may not be."""

from dataclasses import replace

import pytest
import torch

from sae.kernels.loss import LossSettings
from sae.kernels.reference import training_loss

SETTINGS = LossSettings("step", 1.0, 0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coefficient": -1.0}, r"coefficient is -1\.0, expected 0 or more"),
        ({"coefficient": float("nan")}, "coefficient is nan"),
        ({"pre_act_coefficient": -0.5}, r"pre_act_coefficient is -0\.5, expected 0 or more"),
        ({"bandwidth": 0.0}, r"bandwidth is 0\.0, expected more than 0"),
        ({"error_weight": 0.0}, r"error_weight is 0\.0, expected more than 0"),
        ({"tanh_scale": -4.0}, r"tanh_scale is -4\.0, expected more than 0"),
        ({"sparsity": "quadratic"}, "l0_target is None, expected more than 0 for the quadratic penalty"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SETTINGS, **changes)


def test_the_window_is_gathered_only_where_value_gradients_need_it():
    assert SETTINGS.gathers_window
    assert not replace(SETTINGS, reconstruction_moves_threshold=False).gathers_window
    assert replace(SETTINGS, reconstruction_moves_threshold=False, gradient_through_window=True).gathers_window


@pytest.mark.parametrize("sparsity", ["none", "step", "quadratic", "tanh"])
def test_in_another_unit_the_whole_loss_is_divided(sparsity, make_case):
    case = make_case()
    loss = LossSettings(sparsity, 0.7, 0.3, l0_target=5.0, pre_act_coefficient=0.4)
    given = {"dead": case.dead, "emphasis": case.emphasis}

    divided = training_loss(case.weights, case.x, loss.divided(0.2), **given)

    torch.testing.assert_close(divided, training_loss(case.weights, case.x, loss, **given) / 0.2)
