"""What is stored is close to what was there, and a token that stands out costs only itself."""

import pytest
import torch

from sae.activations.store.quantisation import quantise

ROWS = torch.tensor([[1.0, -0.5, 0.25], [127.0, 1.4, -1.6], [0.0, 0.0, 0.0]])


def test_int8_keeps_multiples_of_the_largest_element_over_127():
    stored = quantise(ROWS, "int8")

    assert stored.scales.tolist() == pytest.approx([1 / 127, 1.0, 0.0])
    assert stored.values[1].tolist() == [127, 1, -2]
    assert stored.decode()[1].tolist() == [127.0, 1.0, -2.0]
    assert stored.decode()[2].tolist() == [0.0, 0.0, 0.0]


def test_int8_is_off_by_half_a_step_at_most():
    rows = torch.randn(500, 16, generator=torch.Generator().manual_seed(0))
    stored = quantise(rows, "int8")

    assert bool(((stored.decode() - rows).abs() <= 0.5001 * stored.scales[:, None]).all())


def test_an_outlying_token_does_not_coarsen_the_others():
    rows = torch.randn(10, 16, generator=torch.Generator().manual_seed(0))
    louder = rows.clone()
    louder[3] *= 1e6

    others = torch.arange(10) != 3
    assert torch.equal(quantise(louder, "int8").decode()[others], quantise(rows, "int8").decode()[others])


def test_bfloat16_has_no_scales():
    stored = quantise(ROWS, "bfloat16")

    assert stored.scales is None
    assert torch.equal(stored.decode(), ROWS.bfloat16().float())
