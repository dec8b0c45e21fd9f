"""Exchanged explanations come from features that fire as often; features are chosen of all densities."""

import pytest
import torch

from sae.interpretation.feature_choice import choose_features
from sae.interpretation.nulls import BLOCK, density_matched_permutation


def test_everybody_gets_an_explanation_of_another_one_of_similar_density():
    density = {feature: 2.0**-feature for feature in range(50)}
    exchanged = density_matched_permutation(density, list(density))

    assert sorted(exchanged) == sorted(exchanged.values()) == list(density)
    assert all(feature != other for feature, other in exchanged.items())
    assert max(abs(feature - other) for feature, other in exchanged.items()) < 2 * BLOCK
    assert exchanged == density_matched_permutation(density, list(density))
    assert exchanged != density_matched_permutation(density, list(density), seed=1)


@pytest.mark.parametrize("n", [2, 3, BLOCK, BLOCK + 1])
def test_few_features_are_exchanged_too(n):
    exchanged = density_matched_permutation(dict.fromkeys(range(n), 0.1), list(range(n)))

    assert sorted(exchanged.values()) == list(range(n))
    assert all(feature != other for feature, other in exchanged.items())


def test_a_lone_feature_has_nobody_to_exchange_with():
    assert density_matched_permutation({3: 0.1}, [3]) == {}


def test_features_are_drawn_evenly_over_log_density():
    density = torch.cat([torch.full((900,), 1e-4), torch.logspace(-3.9, -1, 100)]).double()
    chosen = choose_features(density, density > 0, 50)

    assert len(set(chosen)) == 50
    assert sum(feature < 900 for feature in chosen) <= 6  # as many as of any other stratum
    assert chosen != list(range(50))
    assert chosen == choose_features(density, density > 0, 50)
    assert chosen != choose_features(density, density > 0, 50, seed=1)


def test_only_eligible_features_are_chosen_and_all_of_them_if_they_are_few():
    density = torch.tensor([0.0, 0.1, 0.1, 0.2], dtype=torch.float64)

    assert choose_features(density, torch.tensor([False, True, False, True]), 10) == [1, 3]
    with pytest.raises(ValueError, match="no feature is active in enough documents"):
        choose_features(density, density > 1, 10)
