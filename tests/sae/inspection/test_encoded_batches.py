"""Texts go in, token ids and sparse features come out; nothing is lost between batches."""

import pytest
import torch
from tiny_models import random_sae

from sae.host.sites import Site
from sae.inspection import encoded_batches as module
from sae.inspection.encoded_batches import encoded_batches

SITE = Site("resid_post", 1)
TEXTS = ["w1 w2 w3", "  ", "w4 w5 w6 w7 w8", "w9", "w10 w11"]


def run(host, texts=TEXTS, n_tokens=100):
    return list(encoded_batches(host, random_sae(site=SITE), texts, n_tokens=n_tokens))


def test_every_token_but_bos_is_encoded_once(tiny_host):
    [batch] = run(tiny_host)

    assert batch.n_tokens == 11
    ids = batch.ids.flatten()[batch.cells]
    assert sorted(ids.tolist()) == [index + 4 for index in range(1, 12)]
    assert sorted(batch.document_ids.tolist()) == [0, 1, 2, 3]


def test_features_are_those_of_each_document_alone(tiny_host):
    [batch] = run(tiny_host)
    sae = random_sae(site=SITE)
    row = batch.document_ids.tolist().index(1)
    alone = sae.encode(tiny_host.capture(tiny_host.batch([tiny_host.tokenise(TEXTS[2])]), [SITE])[SITE][0, 1:])

    cells = batch.cells[batch.cells // batch.ids.shape[1] == row]
    features = torch.arange(sae.d_sae).expand(len(cells), -1)

    torch.testing.assert_close(batch.activations_at(cells[:, None].expand_as(features), features), alone)


def test_padding_and_bos_have_no_activation(tiny_host):
    [batch] = run(tiny_host)
    elsewhere = (~batch.node_mask).flatten().nonzero()[:, 0]

    assert len(elsewhere) > 0
    for feature in range(64):
        assert not batch.activations_at(elsewhere, torch.full_like(elsewhere, feature)).any()


def test_the_wanted_number_of_tokens_is_met_exactly(tiny_host):
    assert sum(batch.n_tokens for batch in run(tiny_host, n_tokens=7)) == 7


def test_batches_are_small_and_no_document_is_lost(tiny_host, monkeypatch):
    monkeypatch.setattr(module, "BATCH_TOKENS", 8)
    monkeypatch.setattr(module, "POOLED_TOKENS", 6)

    batches = run(tiny_host)

    assert all(batch.ids.numel() <= 8 for batch in batches)
    assert sorted(torch.cat([batch.document_ids for batch in batches]).tolist()) == [0, 1, 2, 3]
    assert sum(batch.n_tokens for batch in batches) == 11


def test_a_document_longer_than_the_context_is_cut(tiny_host):
    assert sum(batch.n_tokens for batch in run(tiny_host, ["w1 " * 100])) == tiny_host.context_length - 1


def test_a_corpus_without_text_is_refused(tiny_host):
    with pytest.raises(ValueError, match="the corpus gave no token to look at"):
        run(tiny_host, ["", "  "])


def test_an_sae_without_a_site_is_refused(tiny_host):
    with pytest.raises(ValueError, match="the SAE does not say its site"):
        list(encoded_batches(tiny_host, random_sae(), TEXTS, n_tokens=9))
