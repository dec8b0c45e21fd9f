"""Tokens in memory: the same at every site, and a state from which draws go on."""

import pytest
import torch

from sae.host.sites import Site
from sae.training.memory_source import Emphasis, MemorySource

FIRST, SECOND = Site("resid_post", 0), Site("resid_post", 1)
ROWS = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))


def source(activations=None, **settings):
    activations = {SECOND: ROWS + 100, FIRST: ROWS.half()} if activations is None else activations
    return MemorySource(activations, {site: rows[:5] for site, rows in activations.items()}, **settings)


def test_a_draw_holds_the_same_tokens_at_every_site_in_float32():
    draw = source().draw(16)

    assert draw.n_tokens == 16
    assert {x.dtype for x in draw.activations.values()} == {torch.float32}
    torch.testing.assert_close(draw.activations[SECOND] - 100, draw.activations[FIRST], atol=1e-2, rtol=1e-2)


def test_sites_come_in_forward_order():
    assert source().sites == (FIRST, SECOND)
    assert (source().d_model, source().n_tokens) == (6, 40)


def test_emphasis_belongs_to_the_tokens_drawn():
    emphasis = Emphasis(ROWS[:, 0].abs() + 1, torch.arange(1.0, 6.0))
    marked = source({FIRST: ROWS}, emphasis=emphasis)

    draw = marked.draw(30)

    torch.testing.assert_close(draw.emphasis, draw.activations[FIRST][:, 0].abs() + 1)
    assert torch.equal(marked.held_out_emphasis(), emphasis.held_out)
    assert source().draw(3).emphasis is None is source().held_out_emphasis()


def test_draws_go_on_from_a_state():
    first = source(seed=3)
    first.draw(7)
    state = first.state_dict()
    expected = [first.draw(7).activations[FIRST] for _ in range(3)]
    second = source(seed=8)
    second.draw(100)

    second.load_state_dict(state)

    assert all(torch.equal(second.draw(7).activations[FIRST], x) for x in expected)


def test_a_state_of_other_tokens_is_refused():
    with pytest.raises(ValueError, match="trained on other tokens"):
        source({FIRST: ROWS}).load_state_dict(source({FIRST: ROWS + 1}).state_dict())


def test_statistics_know_the_weights_and_leave_the_draws_alone():
    rows = torch.cat([torch.zeros(20, 2), torch.tensor([[3.0, 1.0], [5.0, 1.0]]).repeat(10, 1)])
    weighted = source({FIRST: rows}, weights=(torch.arange(40) >= 20).float())
    before = weighted.state_dict()["generator"].clone()

    statistics = weighted.statistics(FIRST)

    assert statistics.mean.tolist() == pytest.approx([4.0, 1.0], abs=0.02)
    assert statistics.scale == pytest.approx(0.5**0.5, abs=0.01)
    assert torch.equal(weighted.state_dict()["generator"], before)
    weighted.draw(100)
    assert torch.equal(weighted.statistics(FIRST).mean, statistics.mean)


def test_what_does_not_vary_is_refused():
    with pytest.raises(ValueError, match=r"activations at resid_post\.0 have spread 0\.0"):
        source({FIRST: torch.ones(10, 3)}).statistics(FIRST)


@pytest.mark.parametrize(
    ("activations", "message"),
    [
        ({}, "training tokens are at no site"),
        ({FIRST: ROWS, SECOND: ROWS[:20]}, "expected the same tokens and width everywhere"),
    ],
)
def test_sites_that_do_not_fit_together_are_refused(activations, message):
    with pytest.raises(ValueError, match=message):
        source(activations)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("part", ["train", "held out"])
def test_activations_that_are_not_finite_are_refused(value, part):
    bad = ROWS.clone()
    bad[3, 2] = value
    train, held_out = (bad, ROWS) if part == "train" else (ROWS, bad)

    with pytest.raises(ValueError, match=r"activations at resid_post\.0 are not finite; leave the tokens out"):
        MemorySource({FIRST: train}, {FIRST: held_out})


def test_held_out_tokens_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"held-out tokens at resid_post\.0 have d_model 5, expected 6"):
        MemorySource({FIRST: ROWS}, {FIRST: ROWS[:, :5]})
    with pytest.raises(ValueError, match=r"no held-out token at resid_post\.0"):
        MemorySource({FIRST: ROWS}, {FIRST: ROWS[:0]})
