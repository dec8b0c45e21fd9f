"""Which nodes are kept: planted units whose bootstrap frequencies are known."""

from collections import Counter

import pytest
import torch
from circuit_cases import contrast_runs, resample_runs, saes_at

from circuits.effects.node_effects import SiteEffects, score_nodes
from circuits.evaluation.kept_share import resampling_weights
from circuits.variation.case import under_reference
from circuits.variation.kept_nodes import UnitEffects, strongest_nodes
from sae.host.sites import Site

SITE = Site("resid_post", 1)


def effects(**by_feature: float):
    """One site's effects: f3=-0.5 is feature 3 with effect -0.5, all at place 2."""
    feature_id = torch.tensor([int(name[1:]) for name in by_feature])
    none = torch.zeros(len(feature_id))
    values = torch.tensor(list(by_feature.values()))
    position = torch.full_like(feature_id, 2)
    return {SITE: SiteEffects(position, feature_id, none, none, values, torch.zeros(4), torch.zeros(1, 4, 3))}


def test_the_strongest_come_first_whatever_their_sign():
    assert strongest_nodes(effects(f1=0.5, f2=-2.0, f3=1.0), 2) == ("resid_post.1/2@2", "resid_post.1/3@2")


def test_names_and_ranks_are_those_of_real_effects():
    scored = score_nodes(contrast_runs(saes_at("resid_post")))
    by_hand = sorted(
        (-abs(effect), f"{site}/{feature}@{position}")
        for site, found in scored.items()
        for position, feature, effect in zip(
            found.position.tolist(), found.feature_id.tolist(), found.indirect_effect.tolist(), strict=True
        )
    )
    assert strongest_nodes(scored, 10) == tuple(name for _, name in by_hand[:10])
    assert UnitEffects.of([scored]).strongest(torch.ones(1), 10) == strongest_nodes(scored, 10)


def test_a_node_that_a_unit_lacks_counts_nothing_there():
    units = UnitEffects.of([effects(f1=1.0), effects(f1=1.0, f2=-3.0)])
    assert units.nodes == ("resid_post.1/1@2", "resid_post.1/2@2")
    torch.testing.assert_close(units.effect, torch.tensor([[1.0, 0.0], [1.0, -3.0]]))
    assert units.strongest(torch.tensor([1.0, 0.0]), 1) == ("resid_post.1/1@2",)
    assert units.strongest(torch.tensor([0.5, 0.5]), 1) == ("resid_post.1/2@2",)
    assert len(units.strongest(torch.tensor([0.5, 0.5]), 9)) == 2


@pytest.mark.parametrize("n_units", [2, 3, 6])
def test_planted_bootstrap_frequencies(n_units):
    """Feature 2 acts in one unit alone, so strongly that it is kept whenever that unit is drawn at all."""
    units = UnitEffects.of([effects(f1=1.0, f2=10.0), *[effects(f1=1.0)] * (n_units - 1)])
    n_draws = 4000
    weights = resampling_weights(n_units, n_draws=n_draws, seed=5)
    counts = Counter(node for each in weights for node in units.strongest(each, 1))
    expected = 1 - (1 - 1 / n_units) ** n_units
    error = (expected * (1 - expected) / n_draws) ** 0.5
    assert counts["resid_post.1/2@2"] / n_draws == pytest.approx(expected, abs=4 * error)
    assert counts.total() == n_draws


def test_effects_under_single_references_average_to_those_under_all():
    """Where the gradient does not depend on the reference, which it does not at the clean run."""
    runs = resample_runs(saes_at("resid_post"))
    alone = [score_nodes(under_reference(runs, r), "attribution_patching") for r in range(runs.baseline.n_references)]
    units = UnitEffects.of(alone)
    together = UnitEffects.of([score_nodes(runs, "attribution_patching")])
    mean = dict(zip(units.nodes, units.effect.mean(dim=0).tolist(), strict=True))
    for name, effect in zip(together.nodes, together.effect[0].tolist(), strict=True):
        assert mean[name] == pytest.approx(effect, abs=1e-5)
