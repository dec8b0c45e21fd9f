"""What a step of the optimiser may and may not move."""

import pytest
import torch

from sae.kernels.loss import WeightGradients
from sae.kernels.weights import DictionaryWeights
from sae.training.dead_features import DeadFeatures
from sae.training.optimisation import WEIGHT_NAMES, WeightOptimiser, clip


def weights():
    return DictionaryWeights.random(6, 4, generator=torch.Generator().manual_seed(0), threshold=0.01)


def gradients(size=1.0):
    generator = torch.Generator().manual_seed(1)
    shapes = {"encoder_rows": (6, 4), "b_enc": (6,), "decoder_rows": (6, 4), "b_dec": (4,), "threshold": (6,)}
    return WeightGradients(**{name: size * torch.randn(shape, generator=generator) for name, shape in shapes.items()})


def optimiser(of, **settings):
    settings = {"learning_rate": 0.1, "threshold_learning_rate": 0.02, "betas": (0.9, 0.999)} | settings
    return WeightOptimiser(of, **settings)


def test_thresholds_have_a_rate_of_their_own_and_stay_above_zero():
    moved, step = weights(), gradients()

    optimiser(moved).step(step, rate_factors=(0.5, 1.0))

    expected = (0.01 - 0.02 * step.threshold.sign()).clamp(min=0)
    torch.testing.assert_close(moved.threshold.detach(), expected)
    assert moved.threshold.min() == 0
    torch.testing.assert_close(moved.b_enc.detach(), -0.05 * step.b_enc.sign())
    torch.testing.assert_close(moved.decoder_rows.norm(dim=1), torch.ones(6))


def test_thresholds_move_by_gradients_in_the_same_unit_whatever_the_loss_has():
    first, second = (weights() for _ in range(2))
    plain, divided = optimiser(first), optimiser(second)

    for size, unit in ((1.0, 1.0), (0.1, 0.25)):
        plain.step(gradients(size), rate_factors=(1.0, 1.0))
        divided.step(gradients(size / unit), rate_factors=(1.0, 1.0), loss_unit=unit)

    torch.testing.assert_close(first.threshold, second.threshold)
    assert not torch.allclose(first.encoder_rows, second.encoder_rows)


def test_untrained_thresholds_stay():
    moved = weights()

    optimiser(moved, threshold_learning_rate=None).step(gradients(), rate_factors=(1.0, 1.0))

    assert torch.equal(moved.threshold.detach(), torch.full((6,), 0.01))


@pytest.mark.parametrize("threshold_learning_rate", [0.02, None])
def test_steps_go_on_from_a_state(threshold_learning_rate):
    first, second = (weights() for _ in range(2))
    one, two = (optimiser(of, threshold_learning_rate=threshold_learning_rate) for of in (first, second))
    one.step(gradients(), rate_factors=(1.0, 1.0))
    two.load_state_dict({name: value.clone() for name, value in one.state_dict().items()})

    for moving in (one, two):
        moving.step(gradients(0.1), rate_factors=(1.0, 1.0))

    for name in WEIGHT_NAMES:
        assert torch.equal(getattr(first, name), getattr(second, name))


def test_a_row_is_clipped_by_itself():
    clipped, whole = gradients(), gradients()
    with torch.no_grad():
        for found in (clipped, whole):
            found.encoder_rows[0] *= 1e-3

    clip(clipped, "row", 0.5)

    assert torch.equal(clipped.encoder_rows[0], whole.encoder_rows[0])
    torch.testing.assert_close(clipped.decoder_rows.norm(dim=1), whole.decoder_rows.norm(dim=1).clamp(max=0.5))
    assert torch.equal(clipped.threshold, whole.threshold)


def test_clipping_all_together_keeps_directions_and_spares_thresholds():
    clipped, whole = gradients(), gradients()

    clip(clipped, "global", 0.1)

    norm = torch.cat([getattr(clipped, name).flatten() for name in WEIGHT_NAMES[:-1]]).norm()
    assert norm.item() == pytest.approx(0.1)
    ratio = clipped.b_dec / whole.b_dec
    torch.testing.assert_close(ratio, ratio[:1].expand(4))
    assert torch.equal(clipped.threshold, whole.threshold)


def test_nothing_is_clipped_unless_asked():
    clipped = gradients(100.0)
    clip(clipped, "none", 0.1)
    assert torch.equal(clipped.encoder_rows, gradients(100.0).encoder_rows)


def test_silence_is_counted_in_tokens():
    dead = DeadFeatures(3, after_tokens=100, device=torch.device("cpu"))

    dead.update(torch.tensor([5, 0, 0]), 60)
    dead.update(torch.tensor([0, 1, 0]), 60)

    assert dead.silent_tokens.tolist() == [60, 0, 120]
    assert dead.mask.tolist() == [False, False, True]
    assert dead.silent_for(60).tolist() == [True, False, True]
