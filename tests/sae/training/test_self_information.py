"""Costs of features by their rates, and training by them."""

import math
from copy import deepcopy

import pytest
import torch
from training_cases import SITES, jump_relu, small_source, sparse_data

from sae.training.jump_relu import JumpReLUTrainer
from sae.training.sae_trainer import TrainingGoal
from sae.training.self_information import MEMORY_TOKENS, SelfInformation
from sae.training.trainer import train_sae

CPU = torch.device("cpu")


def information(rates, value_bits=7.0):
    found = SelfInformation(len(rates), l0=1.0, value_bits=value_bits, device=CPU)
    found.rates.copy_(torch.tensor(rates))
    return found


def test_costs_by_hand():
    found = information([0.5, 0.25, 1 / 17], value_bits=3.0)

    # log2 1, log2 3, log2 16, each with three bits
    bits = torch.tensor([3.0, 3.0 + math.log2(3), 7.0])
    p = torch.tensor([0.5, 0.25, 1 / 17])
    torch.testing.assert_close(found.costs, bits / ((p * bits).sum() / p.sum()))


def test_an_active_feature_costs_one_on_average():
    found = information([0.3, 0.01, 0.001, 0.0])

    assert float((found.rates * found.costs).sum() / found.rates.sum()) == pytest.approx(1, abs=1e-4)


def test_to_be_active_is_never_rewarded():
    assert (information([0.99, 0.01], value_bits=0.0).costs >= 0).all()
    assert torch.equal(information([0.9, 0.9], value_bits=0.0).costs, torch.ones(2))


def test_features_that_never_fire_cost_something_finite():
    assert information([0.0, 0.1]).costs.isfinite().all()


def test_equal_rates_are_the_plain_penalty():
    torch.testing.assert_close(SelfInformation(5, l0=2.0, value_bits=7.0, device=CPU).costs, torch.ones(5))


def test_rates_are_a_running_mean_over_tokens():
    found = SelfInformation(2, l0=1.0, value_bits=7.0, device=CPU)
    found.update(torch.tensor([10, 0]), 10)
    kept = math.exp(-10 / MEMORY_TOKENS)
    assert found.rates.tolist() == pytest.approx([0.5 * kept + (1 - kept), 0.5 * kept])
    # the same whatever the batches are
    whole, halves = (SelfInformation(2, l0=1.0, value_bits=7.0, device=CPU) for _ in range(2))
    whole.update(torch.tensor([100, 20]), 1000)
    for _ in range(2):
        halves.update(torch.tensor([50, 10]), 500)
    torch.testing.assert_close(whole.rates, halves.rates)


# Training


def test_a_known_dictionary_is_recovered_at_the_wanted_l0():
    x, directions = sparse_data(20_000)
    config = jump_relu(d_sae=64, steps=400, batch_tokens=256, objective="description_length", warmup_steps=100)
    sae, record = train_sae(x[2_000:].half(), None, config, held_out=x[:2_000].half(), site=SITES[0])

    assert (directions @ sae.W_dec.T).max(dim=1).values.mean() > 0.9
    assert (sae.encode(x[:2_000].half()) > 0).sum(1).float().mean().item() == pytest.approx(2.0, abs=0.01)
    assert record.metrics[-1].l0 == pytest.approx(2.0, rel=0.1)


def test_a_run_goes_on_exactly_from_its_state():
    source = small_source()
    goal = TrainingGoal("a", SITES[0], jump_relu(objective="description_length"))
    draws = [source.draw(64) for _ in range(20)]

    def trainer():
        return JumpReLUTrainer(goal, source.statistics(SITES[0]), device=CPU)

    whole, resumed = trainer(), trainer()
    for draw in draws[:10]:
        whole.step(draw)
    resumed.load_state_dict(deepcopy(whole.state_dict()))
    for draw in draws[10:]:
        whole.step(draw)
        resumed.step(draw)

    assert torch.equal(whole.weights.decoder_rows, resumed.weights.decoder_rows)
    assert torch.equal(whole.weights.threshold, resumed.weights.threshold)
    assert whole.loss_settings.feature_costs.std() > 0


def test_negative_value_bits_are_refused():
    with pytest.raises(ValueError, match=r"value_bits is -1\.0, expected 0 or more"):
        jump_relu(value_bits=-1.0)
