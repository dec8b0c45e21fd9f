"""The scale: intervals that cover, ranges that are named so, ratios that are withheld."""

import pytest
import torch

from circuits.evaluation.scale import Scale


def prompts(gap: float, kept: float, n: int, seed: int) -> tuple[torch.Tensor, Scale]:
    """m of a circuit that keeps a share of a noisy gap, and its scale."""
    generator = torch.Generator().manual_seed(seed)
    gaps = gap + torch.randn(n, generator=generator)
    empty = torch.randn(n, generator=generator)
    noise = 0.5 * torch.randn(n, generator=generator)
    return empty + kept * gaps + noise, Scale(empty, empty + gaps, is_lone=False)


def test_the_ends_are_0_and_1():
    empty, clean = torch.tensor([0.0, 1.0]), torch.tensor([2.0, 5.0])
    found = Scale(empty, clean, is_lone=False).shares(torch.stack([empty, clean]))
    assert found.tolist() == [0.0, 1.0]


def test_a_prompt_that_is_its_own_baseline_raises():
    with pytest.raises(ValueError, match="faithfulness is undefined"):
        Scale(torch.ones(4), torch.ones(4), is_lone=False)


def test_a_denominator_that_is_small_against_its_spread_withholds_the_ratio():
    gaps = torch.tensor([3.0, -2.9, 2.0, -1.9, 0.1, 0.1])
    scale = Scale(torch.zeros(6), gaps, is_lone=False)
    found = scale.estimate(gaps[None])
    assert found.value is None
    assert "small against its spread" in found.reason


def test_intervals_cover_the_share():
    n, covered = 200, 0
    for seed in range(n):
        metrics, scale = prompts(gap=4.0, kept=0.7, n=40, seed=seed)
        found = scale.estimate(metrics[None])
        covered += found.low <= 0.7 <= found.high
    assert 0.88 <= covered / n <= 0.99


def test_templates_are_drawn_together():
    metrics, scale = prompts(gap=4.0, kept=0.7, n=6, seed=0)
    wide = Scale(scale.empty, scale.clean, is_lone=False, groups=tuple("aaabbb"))
    assert wide.spread() == {"kind": "interval", "over": "templates", "n": 2, "n_left_out": 0}
    single = Scale(scale.empty, scale.clean, is_lone=False, groups=("a",) * 6)
    assert single.spread()["kind"] is None
    assert single.estimate(metrics[None]).low is None


def test_a_lone_prompt_has_a_range_over_the_references_that_have_a_gap():
    empty = torch.tensor([0.0, 1.0, 3.99])
    scale = Scale(empty, torch.full((3,), 4.0), is_lone=True)
    found = scale.estimate(torch.tensor([[2.0, 3.7, 3.99]]))
    assert scale.spread() == {"kind": "range", "over": "references", "n": 2, "n_left_out": 1}
    assert (found.low, found.high) == pytest.approx((0.5, 0.9))


def test_one_reference_has_neither():
    scale = Scale(torch.zeros(1), torch.full((1,), 4.0), is_lone=True)
    assert scale.spread()["kind"] is None
    found = scale.estimate(torch.tensor([[2.0]]))
    assert (found.value, found.low, found.high) == (0.5, None, None)
