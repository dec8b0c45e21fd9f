import pytest
import torch

from sae.host.token_batch import TokenBatch

BOS = 1


def two_rows() -> TokenBatch:
    return TokenBatch.from_rows([torch.tensor([BOS, 5]), torch.tensor([BOS, 6, 7, 8])], BOS)


def test_rows_are_padded_on_the_left():
    batch = two_rows()
    assert batch.ids.tolist() == [[0, 0, BOS, 5], [BOS, 6, 7, 8]]
    assert batch.attention_mask.tolist() == [[False, False, True, True], [True] * 4]


def test_nodes_sit_at_real_tokens_other_than_bos():
    assert two_rows().node_mask.tolist() == [[False, False, False, True], [False, True, True, True]]


def test_without_a_bos_token_every_real_token_may_carry_nodes():
    batch = TokenBatch.from_rows([torch.tensor([4]), torch.tensor([0, 1])], None)
    assert torch.equal(batch.node_mask, batch.attention_mask)


def test_positions_count_from_the_first_real_token():
    assert two_rows().position_ids.tolist() == [[0, 0, 0, 1], [0, 1, 2, 3]]


def test_repeat_puts_whole_copies_one_after_another():
    batch = two_rows().repeat(3)
    assert batch.n_rows == 6
    for copy in range(3):
        assert torch.equal(batch.ids[2 * copy : 2 * copy + 2], two_rows().ids)
        assert torch.equal(batch.node_mask[2 * copy : 2 * copy + 2], two_rows().node_mask)


def test_a_batch_is_repeated_at_least_once():
    with pytest.raises(ValueError, match="cannot repeat a batch 0 times"):
        two_rows().repeat(0)


@pytest.mark.parametrize(
    ("rows", "lengths"), [([], r"\[\]"), ([torch.tensor([1]), torch.tensor([]).long()], r"\[1, 0\]")]
)
def test_a_batch_without_tokens_is_refused(rows, lengths):
    with pytest.raises(ValueError, match=f"cannot batch rows of lengths {lengths}"):
        TokenBatch.from_rows(rows, BOS)
