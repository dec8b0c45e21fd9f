"""A null of training: the decoder is what it began as, and the rest learns."""

import torch
from training_cases import SITES, jump_relu, small_source

from sae.training.frozen_decoder import FrozenDecoderTrainer, frozen_decoder_trainer
from sae.training.sae_trainer import TrainingGoal
from sae.training.trainer import train, trainer_for

STEPS = 30
WATCHED = ("encoder_rows", "decoder_rows", "b_dec")


def stepped(make_trainer):
    source = small_source()
    trainer = make_trainer(TrainingGoal("x", SITES[0], jump_relu()), source.statistics(SITES[0]), torch.device("cpu"))
    start = {
        name: getattr(trainer.weights, name).detach().clone() for name in ("encoder_rows", "decoder_rows", "b_dec")
    }
    for _ in range(STEPS):
        trainer.step(source.draw(64))
    moved = {
        name: float((getattr(trainer.weights, name).detach() - before).abs().max()) for name, before in start.items()
    }
    return trainer, moved


def test_only_the_decoder_rows_stay():
    _, moved = stepped(frozen_decoder_trainer)

    assert moved["decoder_rows"] < 1e-6
    assert moved["encoder_rows"] > 1e-2
    assert moved["b_dec"] > 1e-3


def test_plain_training_moves_them():
    _, moved = stepped(trainer_for)

    assert moved["decoder_rows"] > 1e-2


def test_what_learns_gets_the_gradients_of_plain_training():
    source = small_source()
    goal = TrainingGoal("x", SITES[0], jump_relu())
    statistics, draw = source.statistics(SITES[0]), source.draw(64)
    plain = trainer_for(goal, statistics, torch.device("cpu"))
    frozen = FrozenDecoderTrainer(goal, statistics, device=torch.device("cpu"))
    x = draw.activations[SITES[0]]

    _, ours = frozen.gradients(x, draw)
    _, theirs = plain.gradients(x, draw)

    for name in ("encoder_rows", "b_enc", "b_dec", "threshold"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name))
    assert not ours.decoder_rows.any()


def test_it_reconstructs_less_than_a_trained_decoder_and_more_than_nothing():
    goals = [TrainingGoal("x", SITES[0], jump_relu(steps=300, l0=3, d_sae=16))]
    losses = {}
    for name, make in {"trained": trainer_for, "frozen": frozen_decoder_trainer}.items():
        source = small_source()
        sae = train(source, goals, make_trainer=make)["x"].sae
        x = source.held_out(SITES[0]).float()
        error = x - sae.decode(sae.encode(x)).detach()
        losses[name] = float(error.square().sum() / (x - x.mean(0)).square().sum())

    assert losses["trained"] < losses["frozen"] < 1
