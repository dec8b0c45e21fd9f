"""Harvesting: the rows are the host's own activations, and every column says what it claims."""

import pytest
import torch
from tiny_models import tiny_llama, tiny_llama_model, tiny_tokenizer

from sae.activations.harvest import NO_TOKEN, harvest
from sae.host.host import HostModel
from sae.host.sites import Site

SITES = [Site("embed", None), Site("resid_post", 0), Site("resid_post", 2)]
TEXTS = ["w1 w2 w3 w4 w5", "w6", "  ", "w7 w8 w9"]


@pytest.fixture(scope="module")
def host():
    return tiny_llama()


@pytest.fixture(scope="module")
def gathered(host):
    return harvest(host, TEXTS, SITES, n_tokens=9, batch_documents=2, importance=True, dtype=torch.float32)


def rows_of(harvest, document):
    return (harvest.document_ids == document).nonzero()[:, 0]


def test_every_token_but_bos_is_there_once(gathered):
    words = {document: (gathered.token_ids[rows_of(gathered, document)] - 4).tolist() for document in range(3)}

    assert words == {0: [1, 2, 3, 4, 5], 1: [6], 2: [7, 8, 9]}
    assert gathered.n_tokens == 9


def test_positions_count_from_bos(gathered):
    assert gathered.positions[rows_of(gathered, 2)].tolist() == [1, 2, 3]


def test_next_tokens_end_with_the_document(gathered):
    rows = rows_of(gathered, 2)

    assert gathered.next_ids[rows].tolist() == [*gathered.token_ids[rows[1:]].tolist(), NO_TOKEN]


@pytest.mark.parametrize("site", SITES, ids=str)
def test_activations_are_those_of_the_document_alone(host, gathered, site):
    batch = host.batch([host.tokenise(TEXTS[3])])

    alone = host.capture(batch, [site])[site][0, 1:]

    torch.testing.assert_close(gathered.activations[site][rows_of(gathered, 2)], alone, rtol=1e-4, atol=1e-5)


def test_log_probs_are_those_of_the_document_alone(host, gathered):
    ids = host.tokenise(TEXTS[3])
    log_softmax = host.forward(host.batch([ids])).logits[0].log_softmax(-1)
    expected = log_softmax[:-1].gather(1, ids[1:, None])[:, 0]
    rows = rows_of(gathered, 2)

    torch.testing.assert_close(gathered.log_probs[rows], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gathered.next_log_probs[rows[:-1]], expected[1:], rtol=1e-4, atol=1e-5)
    assert gathered.next_log_probs[rows[-1]] == 0


def test_without_importance_there_are_no_log_probs_and_the_same_activations(host, gathered):
    plain = harvest(host, TEXTS, SITES, n_tokens=9, batch_documents=2, dtype=torch.float32)

    assert plain.log_probs is None
    torch.testing.assert_close(plain.activations, gathered.activations, rtol=1e-4, atol=1e-5)


def test_the_last_document_is_cut_to_the_wanted_number(host):
    cut = harvest(host, TEXTS, SITES[:1], n_tokens=7)

    assert cut.n_tokens == 7
    assert len(rows_of(cut, 2)) == 1


def test_a_document_longer_than_the_context_is_cut(host):
    long = harvest(host, ["w1 " * 200], SITES[:1], n_tokens=1000)

    assert long.n_tokens == host.context_length - 1


def test_endless_texts_are_read_only_as_far_as_needed(host):
    def endless():
        while True:
            yield "w1 w2 w3"

    assert harvest(host, endless(), SITES[:1], n_tokens=30).n_tokens == 30


def test_storage_precision(host):
    assert harvest(host, TEXTS, SITES[:1], n_tokens=9).activations[SITES[0]].dtype == torch.float16


def test_no_text_is_refused(host):
    with pytest.raises(ValueError, match="the corpus gave no token to harvest"):
        harvest(host, [" "], SITES, n_tokens=10)


def test_overflow_of_the_storage_is_refused_by_site():
    model = tiny_llama_model()
    model.model.embed_tokens.weight.data *= 1e7
    host = HostModel(model, tiny_tokenizer(), name="loud")

    with pytest.raises(ValueError, match=r"at embed does not fit into torch\.float16; harvest in bfloat16"):
        harvest(host, TEXTS, SITES[:1], n_tokens=9)
