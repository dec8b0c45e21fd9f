"""Side effects against their definitions, and nothing where nothing changes."""

import pytest
import torch
from torch.nn import CrossEntropyLoss
from torch.nn.functional import kl_div

from steering.side_effects import divergence, divergence_of_others, features_moved, side_effects

PLAIN, STEERED = torch.randn(2, 3, 4, 7, generator=torch.Generator().manual_seed(0)).unbind()
NEXT = torch.tensor([[0, 1, 2, 3]] * 3)


def test_a_run_beside_itself_has_no_side_effects():
    found = side_effects(PLAIN, PLAIN, NEXT)
    assert found.divergence.eq(0).all()
    assert found.delta_ce.eq(0).all()
    assert found.agrees.all()
    assert divergence_of_others(PLAIN[0], PLAIN[0], NEXT[:1, :2].expand(4, 2)).eq(0).all()


def test_a_shift_of_all_logits_is_no_change():
    assert side_effects(PLAIN + 5, PLAIN, NEXT).divergence.max() < 1e-6


def test_numbers_are_those_of_torch():
    found = side_effects(STEERED, PLAIN, NEXT)
    before, after = PLAIN.log_softmax(-1), STEERED.log_softmax(-1)
    expected = kl_div(before, after, log_target=True, reduction="none").sum(-1)
    torch.testing.assert_close(found.divergence.float(), expected)
    loss = CrossEntropyLoss(reduction="none")
    expected = loss(STEERED.flatten(0, 1), NEXT.flatten()) - loss(PLAIN.flatten(0, 1), NEXT.flatten())
    torch.testing.assert_close(found.delta_ce.float().flatten(), expected)
    assert torch.equal(found.agrees, PLAIN.argmax(-1) == STEERED.argmax(-1))
    torch.testing.assert_close(divergence(STEERED, PLAIN), found.divergence)


def test_others_are_the_distribution_without_some_renormalised():
    without = torch.tensor([[0, 1], [2, 3], [4, 5], [6, 6]])
    found = divergence_of_others(STEERED[0], PLAIN[0], without)
    for row, left_out in enumerate(without.tolist()):
        kept = [token for token in range(7) if token not in left_out]
        expected = divergence(STEERED[0, row, kept], PLAIN[0, row, kept])
        assert found[row].item() == pytest.approx(expected.item(), abs=1e-9)


def test_taking_the_place_of_the_answer_is_no_change_of_the_others():
    swapped = PLAIN[0].clone()
    swapped[:, 2] += 30
    swapped[:, 5] -= 30
    assert divergence_of_others(swapped, PLAIN[0], torch.tensor([[2, 5]] * 4)).max() < 1e-9
    assert divergence(swapped, PLAIN[0]).min() > 0.5


def test_others_can_be_answers_only():
    among = torch.tensor([1, 2, 4])
    found = divergence_of_others(STEERED[0], PLAIN[0], torch.tensor([[1]] * 4), among=among)
    expected = divergence(STEERED[0][:, [2, 4]], PLAIN[0][:, [2, 4]])
    torch.testing.assert_close(found, expected)
    with pytest.raises(ValueError, match="no answer is left"):
        divergence_of_others(STEERED[0], PLAIN[0], torch.tensor([[1, 2, 4]] * 4), among=among)


def test_features_count_where_they_move_by_more_than_their_deviation():
    plain = torch.tensor([[0.0, 1.0, 2.0, 0.0]])
    steered = torch.tensor([[0.5, 1.0, 4.5, 0.1]])
    deviations = torch.tensor([1.0, 1.0, 2.0, 0.0])
    assert features_moved(steered, plain, deviations).tolist() == [2]
    assert features_moved(steered, plain, deviations, besides=2).tolist() == [1]
    assert features_moved(plain, plain, torch.zeros(4)).tolist() == [0]
