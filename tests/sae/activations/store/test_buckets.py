"""Rows come back in the order in which they were put away, and can be cut back to an earlier state."""

import pytest
import torch

from sae.activations.store.buckets import Buckets

EMPTY = {"rows": torch.empty(0, 2, dtype=torch.bfloat16), "ids": torch.empty(0, dtype=torch.int32)}


@pytest.fixture
def buckets(tmp_path):
    return Buckets(tmp_path / "scratch", EMPTY, ["a", "b", "c"])


def block(*numbers):
    ids = torch.tensor(numbers)
    return {"rows": ids[:, None].expand(-1, 2).bfloat16(), "ids": ids}


def test_each_row_goes_to_its_bucket(buckets):
    buckets.append(block(1, 2, 3), torch.tensor([0, 1, 0]), only=[0, 1, 2])
    buckets.append(block(4, 5), torch.tensor([1, 0]), only=[0, 1, 2])

    assert buckets.read("ids", 0).tolist() == [1, 3, 5]
    assert buckets.read("rows", 1).tolist() == [[2.0, 2.0], [4.0, 4.0]]
    assert buckets.read("rows", 2).shape == (0, 2)


def test_buckets_that_are_not_wanted_stay_empty(buckets):
    buckets.append(block(1, 2), torch.tensor([0, 1]), only=[1])

    assert len(buckets.read("ids", 0)) == 0
    assert buckets.read("ids", 1).tolist() == [2]


def test_cutting_back_undoes_what_was_added_since(buckets):
    buckets.append(block(1, 2, 3), torch.tensor([0, 1, 0]), only=[0, 1, 2])
    buckets.append(block(4, 5), torch.tensor([1, 0]), only=[0, 1, 2])

    assert buckets.cut_back(torch.tensor([2, 1, 0]), only=[0, 1, 2])
    assert buckets.read("rows", 0)[:, 0].tolist() == [1, 3]
    assert buckets.read("ids", 1).tolist() == [2]


def test_what_is_lost_cannot_be_cut_back_to(buckets):
    buckets.append(block(1), torch.tensor([0]), only=[0])

    assert not buckets.cut_back(torch.tensor([2, 0, 0]), only=[0, 1, 2])
    buckets.delete(0)
    assert buckets.cut_back(torch.tensor([0, 0, 0]), only=[0, 1, 2])
