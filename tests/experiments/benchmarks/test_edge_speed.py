"""The gate of the edge benchmark: two forms that are one in float64, and a difference that it would see."""

import pytest
import torch

from experiments.benchmarks.edge_speed import agreement, difference_in_float64
from sae.host.sites import Site


@pytest.mark.slow
def test_what_separates_the_two_forms_is_rounding():
    assert difference_in_float64(n_layers=2) < 1e-11
    assert torch.Tensor.float is not torch.Tensor.double


@pytest.mark.parametrize(("found", "share"), [(4.0, 0.0), (3.0, 0.25), (0.0, 1.0)])
def test_a_wrong_edge_counts_as_a_share_of_the_strongest(found, share):
    pair = Site.parse("resid_post.0"), Site.parse("attn_out.1")
    assert agreement({pair: torch.tensor([[found, 1.0]])}, {pair: torch.tensor([[4.0, 1.0]])}) == share
