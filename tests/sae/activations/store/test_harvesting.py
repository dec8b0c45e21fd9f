"""Harvesting to a store: every token is there once, with the host's own activations, in random order."""

from itertools import islice

import pytest
import torch
from tiny_models import save_tiny_llama, tiny_llama_model, tiny_tokenizer

from sae.activations.harvest import harvest
from sae.activations.importance import importance_weights
from sae.activations.store.configuration import StoreConfiguration
from sae.activations.store.harvesting import store_configuration
from sae.activations.store.store import ActivationStore
from sae.host.host import HostModel
from sae.host.sites import Site

pytestmark = pytest.mark.usefixtures("no_flush")


def text_tokens(texts, host):
    """Ids of every text, BOS left out."""
    return [host.tokenise(text)[1:].tolist() for text in texts]


def identities(tokens):
    return list(zip(tokens.document_ids.tolist(), tokens.positions.tolist(), strict=True))


def test_every_token_is_there_once(small_store, store_host, words_corpus):
    ids = text_tokens(islice(words_corpus(), 100), store_host)
    tokens, held_out = small_store.tokens, small_store.held_out_tokens
    found = identities(tokens) + identities(held_out)

    assert (small_store.n_tokens, len(held_out.token_ids)) == (200, 40)
    assert len(set(found)) == 240
    # only the last document of either part may be cut
    n_held_out = len(small_store.held_out_documents())
    whole = [(d, p + 1) for d in range(max(found)[0]) if d != n_held_out - 1 for p in range(len(ids[d]))]
    assert set(whole) <= set(found)
    assert [ids[d][p - 1] for d, p in identities(tokens)] == tokens.token_ids.tolist()


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_rows_are_the_activations_of_their_documents(make_store, tmp_path, words_corpus, alone, dtype):
    store = make_store(tmp_path / "store", dtype=dtype, n_tokens=60)
    texts = list(islice(words_corpus(), 50))
    site = store.sites[1]

    found = store.span(site, 0, store.n_tokens)

    expected = torch.stack([alone(texts[d], site)[p - 1] for d, p in identities(store.tokens)])
    step = expected.abs().amax(-1, keepdim=True) / (2**8 if dtype == "bfloat16" else 2 * 127)
    assert bool(((found - expected).abs() <= 1.01 * step).all())


def test_held_out_documents_are_apart_and_whole(small_store, words_corpus, store_host):
    training, held_out = small_store.tokens, small_store.held_out_tokens
    documents = small_store.held_out_documents()

    assert set(training.document_ids.tolist()).isdisjoint(held_out.document_ids.tolist())
    texts = text_tokens(islice(words_corpus(), len(documents)), store_host)
    assert [ids[1:].tolist() for ids in documents[:-1]] == texts[:-1]
    assert identities(held_out) == sorted(identities(held_out))


def test_a_text_that_is_held_out_does_not_train(make_store, tmp_path, words_corpus):
    first = next(words_corpus())
    repeated = (text for text in islice(words_corpus(), 200) for text in (text, first))

    store = make_store(tmp_path / "store", texts=repeated, held_out_tokens=1, n_tokens=50)

    # every second text is the first again
    assert {document % 2 for document in store.tokens.document_ids.tolist()} == {0}


def test_the_order_is_random_over_the_whole_corpus(make_store, tmp_path):
    texts = (f"w{n % 40} w{n % 7} w{n % 11}" for n in range(10**6))
    store = make_store(tmp_path / "store", texts=texts, n_tokens=1500, shard_tokens=400, window_tokens=300)
    rank = torch.empty(1500)
    order = sorted(range(1500), key=identities(store.tokens).__getitem__)
    rank[torch.tensor(order)] = torch.arange(1500.0)

    # of a uniform permutation, neighbours in the store are a third of the corpus apart: 500 +- 9
    assert float(rank.diff().abs().mean()) == pytest.approx(500, abs=40)
    # and every shard is from everywhere: mean rank 750 +- 22
    sizes = [part.n_tokens for name, part in store.manifest.parts.items() if name != "held-out"]
    for shard in rank.split(sizes):
        assert float(shard.mean()) == pytest.approx(750, abs=100)


def test_another_seed_gives_another_order(make_store, small_store, tmp_path):
    other = make_store(tmp_path / "store", seed=1)

    assert identities(other.tokens) != identities(small_store.tokens)
    assert sorted(identities(other.tokens)) == sorted(identities(small_store.tokens))


def test_statistics_are_those_of_the_rows(small_store):
    for site in small_store.sites:
        rows, found = small_store.span(site, 0, 200), small_store.statistics(site)

        torch.testing.assert_close(found.mean, rows.mean(0))
        assert found.scale == pytest.approx(float((rows - rows.mean(0)).square().mean().sqrt()), rel=1e-5)
        assert found.mean_norm == pytest.approx(float(rows.norm(dim=-1).mean()), rel=1e-5)


def test_weights_are_those_of_a_harvest_in_memory(make_store, store_host, words_corpus, stored_sites, tmp_path):
    store = make_store(tmp_path / "store", importance=True, held_out_tokens=5)
    n_held_out = len(store.held_out_documents())
    in_memory = harvest(
        store_host, islice(words_corpus(), n_held_out, None), stored_sites, n_tokens=200, importance=True
    )
    expected = dict(
        zip(
            zip((in_memory.document_ids + n_held_out).tolist(), in_memory.positions.tolist(), strict=True),
            importance_weights(in_memory).tolist(),
            strict=True,
        )
    )

    found = dict(zip(identities(store.tokens), store.tokens.weights.tolist(), strict=True))

    assert found.keys() == expected.keys()
    assert list(found.values()) == pytest.approx([expected[key] for key in found], rel=1e-4, abs=1e-4)
    assert store.held_out_tokens.weights is None


def test_a_store_without_importance_has_no_weights(small_store):
    assert small_store.tokens.weights is None


def test_layers_after_the_last_site_do_not_run(make_store, tmp_path, tiny_llama_path):
    host = HostModel.load(tiny_llama_path)
    calls = []
    for index, layer in enumerate(host._model.model.layers):
        layer.register_forward_hook(lambda *_, index=index: calls.append(index))

    make_store(tmp_path / "store", host=host, sites=[Site("resid_post", 1)], n_tokens=20)

    assert {0} <= set(calls) <= {0, 1}


def test_a_stream_is_read_only_as_far_as_needed(make_store, tmp_path):
    read = []

    def endless():
        while True:
            read.append("w1 w2 w3")
            yield f"w{len(read) % 40} w{len(read) % 39} w{len(read) % 37}"

    make_store(tmp_path / "store", texts=endless(), n_tokens=30, held_out_tokens=6, window_tokens=10**6)

    assert len(read) <= 14


def loud_host(path):
    """A host whose token w7 has an embedding a thousand times too large, and w8 a NaN."""
    model, tokenizer = tiny_llama_model(), tiny_tokenizer()
    model.model.embed_tokens.weight.data[4 + 7] *= 1000
    model.model.embed_tokens.weight.data[4 + 8] = float("nan")
    save_tiny_llama(path)
    return HostModel(model, tokenizer, name="loud", path=path)


def test_outliers_are_dropped_at_every_site_and_counted(make_store, tmp_path):
    texts = (f"w{9 + n % 30} w7 w{10 + n % 30}" for n in range(10**6))

    store = make_store(tmp_path / "store", host=loud_host(tmp_path / "host"), texts=texts, n_tokens=40)

    assert store.n_tokens == 40
    assert 4 + 7 not in store.tokens.token_ids.tolist()
    # 13 of the 40 held-out tokens; of training tokens 40 are read, then as many as are missing: 13, 4 and 1
    assert store.manifest.summary.outliers == 13 + (13 + 4 + 1)


def test_end_of_text_tokens_are_dropped_and_counted(make_store, tmp_path):
    texts = (f"w{9 + n % 30} <eos> w{10 + n % 30}" for n in range(10**6))

    store = make_store(tmp_path / "store", texts=texts, n_tokens=40)

    assert 2 not in store.tokens.token_ids.tolist() + store.held_out_tokens.token_ids.tolist()
    assert store.manifest.summary.special_tokens == 13 + (13 + 4 + 1)


def test_what_is_not_finite_is_refused_by_site(make_store, tmp_path):
    with pytest.raises(ValueError, match="NaN or infinite activations at embed"):
        make_store(tmp_path / "store", host=loud_host(tmp_path / "host"), texts=["w1 w8"] * 20)


@pytest.mark.parametrize("texts", [[], [" ", "\n"]])
def test_an_empty_corpus_is_refused(make_store, tmp_path, texts):
    with pytest.raises(ValueError, match="the corpus gave no token to harvest"):
        make_store(tmp_path / "store", texts=texts)


def test_a_harvest_that_never_began_may_begin_with_other_settings(make_store, tmp_path):
    with pytest.raises(ValueError, match="the corpus gave no token to harvest"):
        make_store(tmp_path / "store", texts=[], corpus="misspelt")

    assert make_store(tmp_path / "store", n_tokens=20).n_tokens == 20


def test_a_corpus_that_is_all_held_out_is_refused(make_store, tmp_path):
    with pytest.raises(ValueError, match="no tokens beside the 3 that are held out; give more text, or fewer"):
        make_store(tmp_path / "store", texts=["w1 w2 w3"])


def test_a_corpus_that_ends_gives_what_it_has(make_store, tmp_path, words_corpus, caplog):
    store = make_store(tmp_path / "store", texts=islice(words_corpus(), 20))

    assert 0 < store.n_tokens < 200
    assert store.missing is None
    assert "tokens short of 200" in caplog.text


def test_unknown_sites_and_long_contexts_are_refused(store_host):
    with pytest.raises(ValueError, match=r"has no site resid_post\.9"):
        store_configuration(store_host, [Site("resid_post", 9)], corpus="", n_tokens=10)
    with pytest.raises(ValueError, match="takes at most 64"):
        store_configuration(store_host, [Site("embed", None)], corpus="", n_tokens=10, context_tokens=65)


@pytest.mark.parametrize(("n_tokens", "held_out"), [(100, 100), (1000, 512), (20_000, 1000), (10**8, 65_536)])
def test_how_much_is_held_out_by_default(store_host, n_tokens, held_out):
    found = store_configuration(store_host, [Site("embed", None)], corpus="", n_tokens=n_tokens)

    assert isinstance(found, StoreConfiguration)
    assert found.held_out_tokens == held_out


def test_a_directory_with_other_files_is_not_written_to(make_store, tmp_path):
    (tmp_path / "thesis.tex").write_text("chapter")

    with pytest.raises(ValueError, match="holds other files than a store"):
        make_store(tmp_path)
    with pytest.raises(ValueError, match="is a file, expected a directory"):
        make_store(tmp_path / "thesis.tex")


def test_a_complete_store_is_returned_as_it_is(make_store, small_store):
    def unread():
        raise AssertionError("the corpus was read")
        yield ""

    again = make_store(small_store.path, texts=unread())

    assert isinstance(again, ActivationStore)
    assert again.content_hash == small_store.content_hash


def test_other_settings_are_refused(make_store, small_store):
    with pytest.raises(ValueError, match="other settings: dtype 'int8' instead of 'bfloat16'"):
        make_store(small_store.path, dtype="int8")
