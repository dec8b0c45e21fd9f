"""The compaction: what is kept, in which order, in pieces or at once."""

import pytest
import torch

from sae.kernels import support as support_module
from sae.kernels.sparse_products import decode, feature_sums, inner_products, per_feature
from sae.kernels.support import compact, find_support

PRE_ACTS = torch.tensor([[0.0, 5.0, 6.0], [1.0, 1.0, 0.0], [7.0, 0.0, 8.0]])
ONE = torch.tensor(1.0)


def test_entries_in_both_orders():
    support = compact(PRE_ACTS, ONE)

    assert support.pre_acts.tolist() == [5.0, 6.0, 7.0, 8.0]
    assert support.feature_ids.tolist() == [1, 2, 0, 2]
    assert support.token_ids.tolist() == [0, 0, 2, 2]
    assert support.token_offsets.tolist() == [0, 2, 2, 4]
    assert support.feature_ids[support.feature_order].tolist() == [0, 1, 2, 2]
    assert support.token_ids[support.feature_order].tolist() == [2, 0, 0, 2]
    assert support.feature_offsets.tolist() == [0, 1, 2, 4]
    assert support.density == pytest.approx(4 / 9)


@pytest.mark.parametrize(
    ("bound", "kept"),
    [
        (torch.tensor([6.0, 0.5, 7.0]), [5.0, 1.0, 7.0, 8.0]),
        (torch.tensor([[5.5], [0.0], [7.0]]), [6.0, 1.0, 1.0, 8.0]),
        (torch.tensor(100.0), []),
    ],
)
def test_bounds_by_feature_and_by_token(bound, kept):
    assert compact(PRE_ACTS, bound).pre_acts.tolist() == kept


def test_keep():
    support = compact(PRE_ACTS, ONE)

    kept = support.keep(support.feature_ids == 2)

    assert kept.pre_acts.tolist() == [6.0, 8.0]
    assert kept.token_offsets.tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize("d_sae", [40, 70_000])
def test_wide_and_narrow_dictionaries_are_sorted_alike(d_sae):
    pre_acts = torch.randn(3, d_sae, generator=torch.Generator().manual_seed(0))
    support = compact(pre_acts, torch.tensor(0.5))

    order = support.feature_ids.argsort(stable=True)

    assert torch.equal(support.feature_order, order)


@pytest.mark.parametrize("per_token", [False, True])
def test_pieces_give_what_the_whole_gives(monkeypatch, per_token):
    generator = torch.Generator().manual_seed(0)
    x, rows = torch.randn(11, 4, generator=generator), torch.randn(9, 4, generator=generator)
    bound = torch.linspace(-1, 1, 11)[:, None] if per_token else torch.linspace(-1, 1, 9)
    whole = find_support(x, rows, torch.zeros(9), bound)

    monkeypatch.setitem(support_module.CHUNK_BYTES, "cpu", 9 * 4 * 4)
    pieces = find_support(x, rows, torch.zeros(9), bound)

    assert torch.equal(whole.feature_ids, pieces.feature_ids)
    assert torch.equal(whole.token_offsets, pieces.token_offsets)
    torch.testing.assert_close(whole.pre_acts, pieces.pre_acts)


def test_products_by_hand():
    support = compact(PRE_ACTS, ONE)
    feature_rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    token_rows = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])

    assert decode(support, support.pre_acts, feature_rows).tolist() == [[6.0, 11.0], [0.0, 0.0], [15.0, 8.0]]
    assert inner_products(support, token_rows, feature_rows).tolist() == [2.0, 3.0, 5.0, 11.0]
    assert per_feature(support, torch.ones(4), token_rows).tolist() == [[5.0, 6.0], [1.0, 2.0], [6.0, 8.0]]
    assert feature_sums(support, support.pre_acts).tolist() == [7.0, 5.0, 14.0]


def test_products_of_nothing_are_zero():
    support = compact(PRE_ACTS, torch.tensor(100.0))

    assert decode(support, support.pre_acts, torch.ones(3, 2)).tolist() == [[0.0] * 2] * 3
    assert inner_products(support, torch.ones(3, 2), torch.ones(3, 2)).tolist() == []
    assert per_feature(support, support.pre_acts, torch.ones(3, 2)).tolist() == [[0.0] * 2] * 3
    assert feature_sums(support, support.pre_acts).tolist() == [0.0] * 3
