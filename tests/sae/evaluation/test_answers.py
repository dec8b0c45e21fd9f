"""Explained variance where answers are predicted: known scores, and the positions by hand."""

import pytest
import torch
from tiny_models import random_sae

from sae.evaluation.answers import answer_activations, measure_at_answers
from sae.evaluation.degenerate import constant_sae, identity_sae, scaling_sae
from sae.host.sites import Site

SITES = [Site("resid_post", 1), Site("mlp_out", 0)]
PROMPTS = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9", "w1 w2"]
X = torch.randn(300, 8, generator=torch.Generator().manual_seed(0)) + 3.0


def by_hand(host, prompt, site):
    """The last position of a prompt run alone."""
    return host.capture(host.batch([host.tokenise(prompt)]), [site])[site][0, -1]


def test_activations_are_those_of_the_last_token_alone(tiny_host):
    found = answer_activations(tiny_host, PROMPTS, SITES, n_prompts=10)

    by_length = sorted(PROMPTS, key=lambda prompt: len(prompt.split()))
    for site in SITES:
        expected = torch.stack([by_hand(tiny_host, prompt, site) for prompt in by_length])
        torch.testing.assert_close(found[site], expected, atol=1e-5, rtol=1e-5)


def test_no_more_prompts_are_read_than_asked_for_and_long_ones_are_passed_over(tiny_host):
    endless = iter(lambda: " ".join(["w1"] * 100), None)
    prompts = iter([*PROMPTS, next(endless), *PROMPTS])

    assert len(answer_activations(tiny_host, prompts, SITES, n_prompts=6)[SITES[0]]) == 5
    assert next(prompts) == PROMPTS[1]
    assert len(answer_activations(tiny_host, [], SITES, n_prompts=6)[SITES[0]]) == 0


@pytest.mark.parametrize(
    ("sae", "value"),
    [(identity_sae(8), 1.0), (constant_sae(X.mean(0)), 0.0), (scaling_sae(X.mean(0), factor=0.6), 0.84)],
    ids=["identity", "mean", "shrunk"],
)
def test_degenerate_dictionaries_have_their_known_scores(sae, value):
    found = measure_at_answers(sae, X)

    assert found.n_answers == 300
    assert found.explained_variance == pytest.approx(value, abs=1e-5)
    # about a resample's own mean, the mean of all is a little worse than nothing
    assert found.interval == pytest.approx((value, value), abs=0.02)


def test_the_interval_is_that_of_resampled_prompts():
    sae = random_sae(d_model=8, d_sae=32)

    found = measure_at_answers(sae, X)

    drawn = torch.randint(300, (1000, 300), generator=torch.Generator().manual_seed(0))
    shares = []
    for rows in drawn:
        x = X[rows]
        error = (x - sae.decode(sae.encode(x))).double().square().sum()
        shares.append(float(1 - error / (x - x.mean(0)).double().square().sum()))
    low, high = torch.tensor(shares).quantile(torch.tensor([0.025, 0.975])).tolist()
    assert found.interval == pytest.approx((low, high), abs=1e-4)
    assert low < found.explained_variance < high


def test_positions_that_do_not_vary_have_no_value():
    found = measure_at_answers(identity_sae(8), X[:1])

    assert (found.n_answers, found.explained_variance, found.interval) == (1, None, None)


def test_two_positions_have_a_finite_interval():
    low, high = measure_at_answers(scaling_sae(X[:2].mean(0), factor=0.5), X[:2]).interval

    assert (low, high) == pytest.approx((0.75, 0.75), abs=1e-4)


def test_no_position_is_refused():
    with pytest.raises(ValueError, match="no token was evaluated, expected at least one"):
        measure_at_answers(identity_sae(8), X[:0])
