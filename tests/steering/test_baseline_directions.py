"""What features are compared with, on data whose answer is known."""

import math

import pytest
import torch

from sae.host.sites import Site
from steering.baseline_directions import probe_direction, random_feature

SITE = Site("resid_post", 1)


def two_clouds(shift: torch.Tensor, n: int = 200, scales: torch.Tensor | None = None):
    generator = torch.Generator().manual_seed(3)
    scales = torch.ones(len(shift)) if scales is None else scales
    clouds = torch.randn(2, n, len(shift), generator=generator) * scales
    return clouds[0] + shift, clouds[1]


def test_a_probe_points_where_the_classes_differ():
    shift = torch.zeros(8)
    shift[2], shift[5] = 3.0, -3.0
    found = torch.tensor(probe_direction(SITE, "probe", *two_clouds(shift)).vector)
    assert found.norm().item() == pytest.approx(1.0, abs=1e-6)
    assert torch.cosine_similarity(found, shift, dim=0) > 0.9


def test_a_probe_is_in_the_units_of_the_stream():
    """The normal of two Gaussians is the shift divided by the variances; coordinates of unlike size tell them apart."""
    shift, scales = torch.tensor([10.0, 0.1]), torch.tensor([10.0, 0.1])
    found = torch.tensor(probe_direction(SITE, "probe", *two_clouds(shift, 2000, scales)).vector)
    assert torch.cosine_similarity(found, shift / scales.square(), dim=0) > 0.99


def test_a_probe_of_too_few_or_equal_examples_is_refused():
    few = torch.randn(1, 4)
    with pytest.raises(ValueError, match="needs two examples of each kind, got 1 with and 5"):
        probe_direction(SITE, "probe", few, torch.randn(5, 4))
    with pytest.raises(ValueError, match="found no difference"):
        probe_direction(SITE, "probe", torch.ones(4, 4), torch.ones(4, 4))


def test_a_random_feature_is_another_of_like_density_that_is_alive():
    densities = torch.cat([torch.zeros(50), torch.logspace(-4, -1, 100)]).double()
    drawn = {random_feature(densities, 100, seed=seed) for seed in range(40)}
    assert 100 not in drawn
    assert len(drawn) > 5
    ratios = [abs(math.log(densities[other] / densities[100])) for other in drawn]
    assert max(ratios) <= abs(math.log(densities[89] / densities[100]))
    assert random_feature(densities, 100, seed=1) == random_feature(densities, 100, seed=1)


def test_a_dead_feature_and_a_lone_one_have_no_equal():
    with pytest.raises(ValueError, match="feature 0 is active on no reference token"):
        random_feature(torch.tensor([0.0, 0.5]).double(), 0)
    with pytest.raises(ValueError, match="no feature but 1 is ever active"):
        random_feature(torch.tensor([0.0, 0.5]).double(), 1)
