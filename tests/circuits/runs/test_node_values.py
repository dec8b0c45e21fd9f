"""What edges read of features one by one, against the dense tables."""

import pytest
import torch
from circuit_cases import resample_runs, saes_at
from tiny_models import random_sae

from circuits.effects.node_table import ERROR, NodeTable, node_changes
from circuits.runs.active_features import encode_active
from circuits.runs.dictionaries import pre_acts_and_acts_of
from sae.dictionary.autoencoder import SAE


@pytest.fixture
def sae() -> SAE:
    return random_sae()


@pytest.fixture
def x():
    return torch.randn(3, 6, 32, generator=torch.Generator().manual_seed(0))


def test_values_of_single_nodes_are_those_of_the_dense_table(sae, x):
    features = encode_active(sae, x, torch.tensor([False, True, True, True, True, True]))
    position, feature_ids = torch.meshgrid(torch.arange(6), torch.arange(64), indexing="ij")
    found = features.values(position.flatten(), feature_ids.flatten()).view(3, 6, 64)
    assert torch.equal(found, features.columns(torch.arange(64)))
    assert found.any()


def test_where_nothing_is_active_all_values_are_0(sae, x):
    nothing = encode_active(sae, x, torch.zeros(6, dtype=torch.bool))
    assert torch.equal(nothing.values(torch.tensor([1, 2]), torch.tensor([3, 4])), torch.zeros(3, 2))


def test_the_features_of_some_positions_are_numbered_in_the_order_given(sae, x):
    features = encode_active(sae, x, torch.ones(6, dtype=torch.bool))
    some = features.at(torch.tensor([4, 1]))
    dense = torch.zeros(3, 2, 64)
    dense[some.row, some.position, some.feature_id] = some.value
    assert torch.equal(dense, features.columns(torch.arange(64))[:, [4, 1]])


@pytest.mark.parametrize("top_k", [None, 5])
def test_chosen_activations_are_those_of_the_whole_dictionary(sae, x, top_k):
    if top_k is not None:
        parts = {"encoder_rows": sae.encoder_rows, "decoder_rows": sae.decoder_rows, "b_enc": sae.b_enc}
        sae = SAE(**parts, b_dec=sae.b_dec, threshold=torch.zeros(64), top_k=top_k)
    chosen = torch.tensor([3, 11, 12, 40])
    pre_acts, acts = pre_acts_and_acts_of(sae, x, chosen)
    torch.testing.assert_close(pre_acts, sae.pre_acts(x)[..., chosen])
    torch.testing.assert_close(acts, sae.encode(x)[..., chosen])
    assert torch.equal(acts[acts != 0], pre_acts[acts != 0])


def test_the_change_of_an_error_is_what_the_change_of_all_features_leaves():
    runs = resample_runs(saes_at("resid_post"))
    site = runs.sites[1]
    position = torch.tensor([2, 4])
    found = node_changes(runs, site, NodeTable(position, torch.full_like(position, ERROR)))
    for reference in range(runs.baseline.n_references):
        expected = runs.baseline_error(site, reference) - runs.clean_error(site)
        torch.testing.assert_close(found[reference], expected[position], atol=1e-5, rtol=1e-4)
