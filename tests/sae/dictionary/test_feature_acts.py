"""FeatureActs: the sparse form says the same as the dense one."""

import pytest
import torch

from sae.dictionary.feature_acts import FeatureActs

DENSE = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 3.0]])


def test_from_dense_lists_the_entries_token_by_token():
    acts = FeatureActs.from_dense(DENSE)

    assert acts.values.tolist() == [2.0, 1.0, 3.0]
    assert acts.feature_ids.tolist() == [1, 0, 2]
    assert acts.token_offsets.tolist() == [0, 1, 1, 3]
    assert (acts.n_tokens, acts.d_sae) == (3, 3)


def test_to_dense_is_the_inverse_of_from_dense():
    assert torch.equal(FeatureActs.from_dense(DENSE).to_dense(), DENSE)


def test_l0_and_token_ids_count_a_silent_token():
    acts = FeatureActs.from_dense(DENSE)

    assert acts.l0.tolist() == [1, 0, 2]
    assert acts.token_ids().tolist() == [0, 2, 2]


@pytest.mark.parametrize("n_tokens", [0, 4])
def test_no_active_feature_at_all(n_tokens):
    acts = FeatureActs.from_dense(torch.zeros(n_tokens, 3))

    assert acts.n_tokens == n_tokens
    assert acts.to_dense().shape == (n_tokens, 3)


def test_concatenate_appends_tokens():
    both = FeatureActs.concatenate([FeatureActs.from_dense(DENSE), FeatureActs.from_dense(2 * DENSE)])

    assert torch.equal(both.to_dense(), torch.cat([DENSE, 2 * DENSE]))


def test_concatenate_refuses_dictionaries_of_different_sizes():
    with pytest.raises(ValueError, match=r"sizes \[2, 3\], expected exactly one"):
        FeatureActs.concatenate([FeatureActs.from_dense(DENSE), FeatureActs.from_dense(DENSE[:, :2])])


def test_offsets_must_end_at_the_number_of_values():
    with pytest.raises(ValueError, match="end at 3, expected the number of values, 2"):
        FeatureActs(torch.ones(2), torch.tensor([0, 1]), torch.tensor([0, 3]), 3)
