"""The gate of the edge benchmark: two forms that are one in float64, and a difference that it would see."""

import pytest
import torch

from circuits.effects.edge_effects import NodeTable, ScoredEdge
from experiments.benchmarks.edge_speed import agreement, difference_in_float64
from sae.host.sites import Site

SOURCE, TARGET = Site.parse("resid_post.0"), Site.parse("attn_out.1")


@pytest.mark.slow
def test_what_separates_the_two_forms_is_rounding():
    assert difference_in_float64(n_layers=2) < 1e-11
    assert torch.Tensor.float is not torch.Tensor.double


@pytest.mark.parametrize(("found", "share"), [(4.0, 0.0), (3.0, 0.25), (None, 1.0)])
def test_a_wrong_or_missing_edge_counts_as_a_share_of_the_strongest(found, share):
    nodes = {site: NodeTable(torch.tensor([2]), torch.tensor([7])) for site in (SOURCE, TARGET)}
    edges = [] if found is None else [ScoredEdge((SOURCE, 2, 7), (TARGET, 2, 7), found)]
    assert agreement(edges, {(SOURCE, TARGET): torch.tensor([[4.0]])}, nodes) == share
