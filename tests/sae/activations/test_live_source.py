"""Training tokens straight from the host: its own activations, shuffled, without repetition, exactly resumed."""

from itertools import islice

import pytest
import torch

from sae.activations.live_source import LiveSource
from sae.host.sites import Site

LAST_SITE = Site("resid_post", 1)
SETTINGS = {"corpus": "words", "buffer_tokens": 60, "held_out_tokens": 20}


@pytest.fixture
def live(store_host, words_corpus, stored_sites):
    """A source over the first documents of the corpus."""

    def make(n_documents=44, texts=None, **settings):
        texts = texts or (lambda: islice(words_corpus(), n_documents))
        return LiveSource(store_host, texts, stored_sites, **{**SETTINGS, **settings})

    return make


@pytest.fixture(scope="module")
def known_rows(words_corpus, alone):
    """Activations of the corpus, document by document, as they are buffered."""
    return [alone(text, LAST_SITE).bfloat16().float() for text in islice(words_corpus(), 44)]


def places(drawn, known_rows):
    """Which row of the corpus each drawn one is."""
    known = torch.cat(known_rows)
    distances = torch.cdist(drawn.activations[LAST_SITE], known)
    # padding in a batch moves activations in their last digits, hence perhaps a step of bfloat16
    assert float((distances.min(-1).values / known.norm(dim=-1).mean()).max()) < 0.01
    return distances.argmin(-1).tolist()


def test_no_token_comes_twice_and_none_is_held_out(live, known_rows):
    source = live()
    drawn = [row for _ in range(8) for row in places(source.draw(25), known_rows)]

    assert len(set(drawn)) == 200
    assert min(drawn) >= 20
    assert source.held_out(LAST_SITE).shape == (20, 32)


def test_the_buffer_is_shuffled(live, known_rows):
    drawn = places(live().draw(30), known_rows)

    assert drawn != sorted(drawn)
    assert max(drawn) > 20 + 40


def test_the_corpus_begins_again_without_what_is_held_out(live, known_rows):
    source = live(n_documents=12)
    n_tokens = sum(map(len, known_rows[:12]))
    drawn = [row for _ in range(10) for row in places(source.draw(20), known_rows)]

    assert len(drawn) > 2 * n_tokens
    assert 20 <= min(drawn) < max(drawn) < n_tokens


def test_row_i_is_the_same_token_at_every_site(live, words_corpus, alone, known_rows):
    drawn = live().draw(20)
    embeddings = torch.cat([alone(text, Site("embed", None)) for text in islice(words_corpus(), 44)])

    expected = embeddings[torch.tensor(places(drawn, known_rows))]
    torch.testing.assert_close(drawn.activations[Site("embed", None)], expected, rtol=0.01, atol=0.01)


@pytest.mark.parametrize("n_documents", [44, 12])
@pytest.mark.parametrize("n_drawn", [0, 2, 9])
def test_a_resumed_source_goes_on_exactly(live, n_documents, n_drawn):
    source = live(n_documents)
    for _ in range(n_drawn):
        source.draw(15)
    state = {
        name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in source.state_dict().items()
    }
    expected = [source.draw(15).activations for _ in range(8)]

    resumed = live(n_documents)
    resumed.draw(30)
    resumed.load_state_dict(state)

    for activations in expected:
        drawn = resumed.draw(15).activations
        assert all(torch.equal(drawn[site], rows) for site, rows in activations.items())


def test_statistics_are_those_of_the_held_out_tokens(live):
    source = live()
    rows = source.held_out(LAST_SITE)

    assert source.statistics(LAST_SITE).scale == pytest.approx(float((rows - rows.mean(0)).square().mean().sqrt()))
    assert source.n_tokens is None
    assert source.held_out_emphasis() is None


def test_the_state_of_other_settings_or_texts_is_refused(live, words_corpus):
    source = live()
    source.draw(10)
    state = source.state_dict()

    with pytest.raises(ValueError, match="was trained on other tokens"):
        live(buffer_tokens=80).load_state_dict(state)
    with pytest.raises(ValueError, match="are not those that were read before"):
        live(texts=lambda: words_corpus(seed=1)).load_state_dict(state)


def test_more_than_half_of_the_buffer_is_refused(live):
    with pytest.raises(ValueError, match="cannot draw 31 tokens, expected at most 30, half of buffer_tokens"):
        live().draw(31)


def test_an_empty_corpus_is_refused(live):
    with pytest.raises(ValueError, match="the corpus gave no token to harvest"):
        live(texts=lambda: [" "])
    with pytest.raises(ValueError, match="no tokens beside the 3 that are held out"):
        live(texts=lambda: ["w1 w2 w3"]).draw(1)
