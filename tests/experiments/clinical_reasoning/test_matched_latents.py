"""Twins are as dense and as large as what they stand beside, and never the same."""

import pytest
import torch
from circuit_cases import host
from mediation_cases import asked, workbench

from experiments.clinical_reasoning.matched_latents import LatentStatistics, latent_statistics, matched_latents
from sae.host.sites import Site

SITE = Site("resid_post", 0)


def planted() -> dict[Site, LatentStatistics]:
    """Forty dense latents, forty sparse ones, twenty that never fire."""
    density = torch.tensor([0.5] * 40 + [0.001] * 40 + [0.0] * 20)
    return {SITE: LatentStatistics(density, torch.ones(100))}


def test_statistics_are_those_of_the_tokens():
    tools, pairs = workbench(), asked()
    site, sae = next(iter(tools.dictionaries.items()))
    rows = [each.ids for each in pairs]
    acts = torch.cat([sae.encode(host().capture(host().batch([row]), [site])[site][0, 1:]) for row in rows])
    found = latent_statistics(tools, rows)[site]
    torch.testing.assert_close(found.density, (acts > 0).float().mean(dim=0))
    torch.testing.assert_close(found.magnitude, acts.sum(dim=0) / (acts > 0).sum(dim=0).clamp(min=1))


def test_twins_match_and_are_others():
    chosen = torch.tensor([0, 1, 2, 45])
    twins = matched_latents(planted(), {SITE: chosen}, seed=3)[SITE]
    assert not set(twins.tolist()) & set(chosen.tolist())
    assert len(set(twins.tolist())) == 4
    assert (twins[:3] < 40).all()
    assert 40 <= twins[3] < 80
    assert twins.tolist() == matched_latents(planted(), {SITE: chosen}, seed=3)[SITE].tolist()
    kept_out = {SITE: torch.arange(3, 35)}
    assert (matched_latents(planted(), {SITE: chosen[:3]}, seed=0, excluded=kept_out)[SITE] >= 35).all()


def test_without_any_left_it_says_so():
    dead = {SITE: LatentStatistics(torch.tensor([0.5, 0.0]), torch.tensor([1.0, 0.0]))}
    with pytest.raises(ValueError, match=r"no latent of resid_post\.0 is left to match 0"):
        matched_latents(dead, {SITE: torch.tensor([0])}, seed=0)
