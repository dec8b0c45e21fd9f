"""Corpora and stores that training cannot use are refused with one line, before anything is trained."""

import random
from functools import partial

import pytest
from tiny_models import WORDS
from training_cases import jump_relu

from sae.activations.store.harvesting import harvest_to_store
from sae.activations.store.store import ActivationStore
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.training.corpus_source import corpus_source, document_source, live_source, stored_source
from sae.training.sae_trainer import TrainingGoal
from sae.training.trainer import train

SITE = Site("resid_post", 1)
SOURCES = {
    "memory": partial(corpus_source, n_tokens=100),
    "live": live_source,
    "documents": partial(document_source, n_tokens=100),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"gave no token to harvest|0 documents to train on"),
        ('{"text": "  "}\n', r"gave no token to harvest|0 documents to train on"),
        ('{"body": "one"}\n', r"line 1 of .*corpus\.jsonl has no string 'text'"),
        ("\udcff", r"corpus\.jsonl is damaged or not UTF-8 text"),
        (None, r"corpus file .*corpus\.jsonl does not exist; check the path"),
    ],
    ids=["empty", "blank", "another field", "not text", "missing"],
)
def test_a_corpus_that_gives_nothing_is_refused(tiny_host, tmp_path, source, content, message):
    path = tmp_path / "corpus.jsonl"
    if content is not None:
        path.write_bytes(content.encode(errors="surrogateescape"))

    with pytest.raises(ValueError, match=message) as caught:
        source(tiny_host, str(path), [SITE])

    assert "\n" not in str(caught.value)


def test_a_corpus_that_is_held_out_whole_is_refused(tiny_host, tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"text": "w1 w2 w3"}\n')

    with pytest.raises(ValueError, match=r"has no text beside the 100 tokens held out; give more text"):
        corpus_source(tiny_host, str(path), [SITE], n_tokens=100)
    with pytest.raises(ValueError, match=r"0 documents to train on and 1 held out, .*; give more text"):
        document_source(tiny_host, str(path), [SITE], n_tokens=100)


@pytest.fixture
def store(tiny_llama_path, tmp_path):
    """300 tokens in several shards, and their host."""
    host, generator = HostModel.load(tiny_llama_path), random.Random(0)
    texts = (" ".join(generator.choices(WORDS, k=8)) for _ in range(200))
    settings = {"corpus": "words", "n_tokens": 300, "held_out_tokens": 60, "window_tokens": 100, "shard_tokens": 100}
    return host, harvest_to_store(host, texts, [SITE], out=tmp_path / "store", **settings)


def test_training_on_an_altered_shard_ends_with_its_name_and_keeps_the_checkpoint(store, tmp_path):
    host, whole = store
    shard = whole.path / f"{SITE}-00001.safetensors"
    contents = bytearray(shard.read_bytes())
    contents[-1] ^= 1
    shard.write_bytes(contents)
    corpus = stored_source(host, ActivationStore.open(whole.path), [SITE])
    goal = TrainingGoal("x", SITE, jump_relu(batch_tokens=50))

    with pytest.raises(ValueError, match=rf"{shard.name} is altered: its SHA-256"):
        train(corpus.source, [goal], directory=tmp_path / "run", checkpoint_every=1)

    assert (tmp_path / "run" / "checkpoint.safetensors").is_file()


def test_a_site_that_the_store_lacks_is_refused(store):
    host, whole = store
    source = stored_source(host, whole, [SITE]).source

    with pytest.raises(ValueError, match=r"no activations at resid_post\.0, only at resid_post\.1"):
        train(source, [TrainingGoal("x", Site("resid_post", 0), jump_relu())])
