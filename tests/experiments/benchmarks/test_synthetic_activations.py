"""Activations that have something to be found."""

import torch

from experiments.benchmarks.synthetic_activations import sparse_sums


def test_they_are_reproducible():
    torch.testing.assert_close(sparse_sums(5, 8, n_active=2, seed=1), sparse_sums(5, 8, n_active=2, seed=1))


def test_tokens_are_sums_of_few_directions():
    """With one direction a token, tokens of the same direction point the same way."""
    x = sparse_sums(2000, 16, n_active=1, seed=0)
    cosines = torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(x[:1]).T

    n_alike = int((cosines > 0.9).sum())

    assert 2 < n_alike < 1000
