"""A small host with a directory, a corpus of random words, and stores of both."""

import random
import shutil
from itertools import cycle

import pytest
from tiny_models import WORDS

from sae.activations.store.harvesting import harvest_to_store
from sae.host.host import HostModel
from sae.host.sites import Site


@pytest.fixture(scope="session")
def stored_sites():
    return [Site("embed", None), Site("resid_post", 1)]


@pytest.fixture(scope="session")
def store_host(tiny_llama_path):
    return HostModel.load(tiny_llama_path)


@pytest.fixture(scope="session")
def words_corpus():
    """Documents of 4 to 10 random words, without end; the same each time.

    The first words of 44 documents in a row differ, and so do the activations of all of their tokens.
    """

    def documents(seed=0):
        generator = random.Random(seed)
        for first in cycle(WORDS):
            yield " ".join([first, *generator.choices(WORDS, k=generator.randint(3, 9))])

    return documents


@pytest.fixture(scope="session")
def small_settings():
    """What `make_store` harvests unless told otherwise."""
    return {"corpus": "words", "n_tokens": 200, "held_out_tokens": 40, "window_tokens": 60, "shard_tokens": 70}


@pytest.fixture(scope="session")
def make_store(store_host, words_corpus, stored_sites, small_settings):
    """Harvests a small store; keyword arguments replace its settings."""

    def make(out, *, texts=None, host=store_host, sites=stored_sites, **settings):
        texts = words_corpus() if texts is None else texts
        return harvest_to_store(host, texts, sites, out=out, **{**small_settings, **settings})

    return make


@pytest.fixture(scope="session")
def small_store(make_store, tmp_path_factory):
    """200 training tokens in three shards, nothing dropped."""
    return make_store(tmp_path_factory.mktemp("stores") / "small")


@pytest.fixture
def store_copy(small_store, tmp_path):
    """A copy of the small store that a test may damage."""
    return shutil.copytree(small_store.path, tmp_path / "copy")


@pytest.fixture(scope="session")
def alone(store_host):
    """The activation that a text has at a site by itself, BOS left out."""

    def run(text, site):
        batch = store_host.batch([store_host.tokenise(text)])
        return store_host.capture(batch, [site])[site][0, 1:]

    return run


@pytest.fixture
def no_flush(monkeypatch):
    """Spares the tests the wait for the disk."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
