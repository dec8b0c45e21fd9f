"""The unit of the loss: a running mean that keeps gradients of one size, and changes nothing else."""

from dataclasses import fields

import pytest
import torch
from training_cases import SITES, batch_topk, jump_relu, small_source

from sae.training.loss_unit import UnexplainedShare
from sae.training.normalisation import normalise
from sae.training.sae_trainer import TrainingGoal
from sae.training.trainer import trainer_for


def stepped(config, *, n_steps=5):
    source = small_source()
    trainer = trainer_for(TrainingGoal("x", SITES[0], config), source.statistics(SITES[0]), torch.device("cpu"))
    for _ in range(n_steps):
        trainer.step(source.draw(64))
    return trainer, source.draw(64)


def test_it_is_a_running_mean_that_begins_at_one():
    unexplained = UnexplainedShare()

    values = []
    for fvu in (2.0, 0.1, 0.1):
        unexplained.update(fvu)
        values.append(unexplained.value)

    assert values == pytest.approx([1.1, 1.0, 0.91])


def test_what_explains_everything_or_has_diverged_leaves_a_unit_to_divide_by():
    unexplained = UnexplainedShare()
    for _ in range(1000):
        unexplained.update(0.0)
    unexplained.update(float("nan"))

    assert unexplained.value == 1e-4


@pytest.mark.parametrize("make_config", [jump_relu, batch_topk])
def test_every_gradient_is_divided_and_the_loss_is_told_undivided(make_config):
    trainer, draw = stepped(make_config(dead_after_tokens=100))
    plain, _ = stepped(make_config(dead_after_tokens=100, loss_unit="variance"))
    state = trainer.state_dict()
    plain.load_state_dict(
        {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in state.items()}
    )
    x = normalise(draw.activations[SITES[0]], trainer.statistics)

    divided, undivided = trainer.gradients(x, draw)[1], plain.gradients(x, draw)[1]

    assert plain.loss_unit == 1 != trainer.loss_unit
    for field in fields(divided):
        torch.testing.assert_close(
            getattr(divided, field.name) * trainer.loss_unit, getattr(undivided, field.name), atol=1e-6, rtol=1e-4
        )
    trainer.step(draw)
    plain.step(draw)
    assert trainer.metrics().loss == pytest.approx(plain.metrics().loss)
