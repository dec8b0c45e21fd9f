"""Training tokens from a store: every token once an epoch, or by weight, and exactly resumed."""

import pytest
import torch

from sae.activations.store.source import StoreSource
from sae.activations.store.store import ActivationStore
from sae.host.sites import Site

LAST_SITE = Site("resid_post", 1)


@pytest.fixture(scope="module")
def weighted_store(make_store, tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("stores") / "weighted", importance=True)


def rows_drawn(store, drawn):
    """Which rows of the store were drawn, told by their activations, which all differ."""
    distances = torch.cdist(drawn.activations[LAST_SITE].double(), store.span(LAST_SITE, 0, 200).double())
    assert bool((distances.min(-1).values == 0).all())
    return distances.argmin(-1).tolist()


def test_rows_come_in_turn_and_again(small_store):
    source = StoreSource(small_store)
    draws = [source.draw(70) for _ in range(4)]

    whole = small_store.span(LAST_SITE, 0, 200)
    assert torch.equal(torch.cat([draw.activations[LAST_SITE] for draw in draws]), torch.cat([whole, whole[:80]]))
    assert draws[0].n_tokens == 70
    assert draws[0].emphasis is None


def test_a_draw_may_be_larger_than_the_store(small_store):
    drawn = StoreSource(small_store).draw(450).activations[LAST_SITE]

    assert torch.equal(drawn[400:], drawn[:50])


@pytest.mark.parametrize("use_weights", [True, False])
def test_row_i_is_the_same_token_at_every_site(weighted_store, use_weights):
    source = StoreSource(weighted_store, use_weights=use_weights)
    drawn = source.draw(30)

    rows = torch.tensor(rows_drawn(weighted_store, drawn))
    embed = Site("embed", None)
    assert torch.equal(drawn.activations[embed], weighted_store.rows(embed, rows))


def test_tokens_are_drawn_by_weight(weighted_store):
    weights = weighted_store.tokens.weights.double()
    source = StoreSource(weighted_store)
    drawn = [row for _ in range(5) for row in rows_drawn(weighted_store, source.draw(20_000))]

    shares = torch.bincount(torch.tensor(drawn), minlength=200) / 100_000
    off = (shares - weights / weights.sum()).square().sum()
    off_from_uniform = (shares - 1 / 200).square().sum()
    assert off < 0.3 * off_from_uniform


@pytest.mark.parametrize("use_weights", [True, False])
def test_a_resumed_source_goes_on_exactly(weighted_store, use_weights):
    source = StoreSource(weighted_store, use_weights=use_weights)
    source.draw(130)
    state = source.state_dict()
    expected = [source.draw(60).activations[LAST_SITE] for _ in range(3)]

    resumed = StoreSource(ActivationStore.open(weighted_store.path), use_weights=use_weights, seed=9)
    resumed.load_state_dict(state)

    assert all(torch.equal(resumed.draw(60).activations[LAST_SITE], rows) for rows in expected)


def test_the_state_of_another_store_is_refused(small_store, weighted_store):
    with pytest.raises(ValueError, match=r"was trained on another store .* than .*small"):
        StoreSource(small_store).load_state_dict(StoreSource(weighted_store).state_dict())


def test_sites_can_be_chosen(small_store):
    source = StoreSource(small_store, sites=[LAST_SITE])

    assert source.sites == (LAST_SITE,)
    assert set(source.draw(3).activations) == {LAST_SITE}
    assert source.held_out(LAST_SITE).shape == (40, 32)
    assert source.held_out_emphasis() is None
    assert source.statistics(LAST_SITE).scale == small_store.statistics(LAST_SITE).scale
    with pytest.raises(ValueError, match=r"no site mlp_out\.0"):
        StoreSource(small_store, sites=[Site("mlp_out", 0)])


def test_an_incomplete_store_is_refused(store_copy):
    (store_copy / "embed-00000.safetensors").unlink()

    with pytest.raises(ValueError, match=r"lacks embed-00000\.safetensors"):
        StoreSource(ActivationStore.open(store_copy))
