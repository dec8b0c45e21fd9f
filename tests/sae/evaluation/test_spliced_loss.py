"""Loss with dictionaries in place of activations: dictionaries whose cost is known beforehand."""

import pytest
import torch
from tiny_models import random_sae, tiny_llama

from sae.dictionary.autoencoder import SAE
from sae.evaluation.spliced_loss import SplicedLoss, measure_spliced_loss
from sae.host.sites import Site

SITE = Site("resid_post", 1)


@pytest.fixture(scope="module")
def host():
    return tiny_llama()


@pytest.fixture(scope="module")
def documents(host):
    texts = ["w1 w2 w3 w4", "w5 w6", "w7 w8 w9 w10 w11 w12", "w13"]
    return [host.tokenise(text) for text in texts]


def identity_sae() -> SAE:
    rows = torch.cat([torch.eye(32), -torch.eye(32)])
    zeros = torch.zeros(64)
    return SAE(encoder_rows=rows, b_enc=zeros, decoder_rows=rows, b_dec=torch.zeros(32), threshold=zeros)


def empty_sae(b_dec) -> SAE:
    rows = torch.zeros(4, 32)
    return SAE(encoder_rows=rows, b_enc=torch.zeros(4), decoder_rows=rows, b_dec=b_dec, threshold=torch.zeros(4))


def mean_activation(host, documents, site):
    rows = [host.capture(host.batch([ids]), [site])[site][0, 1:] for ids in documents]
    return torch.cat(rows).mean(0)


def test_a_perfect_dictionary_costs_nothing(host, documents):
    loss = measure_spliced_loss(host, documents, {SITE: identity_sae()}, batch_documents=2)

    assert loss.delta_ce == pytest.approx(0, abs=1e-6)
    assert loss.recovered_from_zero == pytest.approx(1, abs=1e-5)
    assert abs(loss.zero - loss.clean) > 1e-3


def test_a_zero_dictionary_is_zero_ablation(host, documents):
    loss = measure_spliced_loss(host, documents, {SITE: empty_sae(torch.zeros(32))})

    assert loss.spliced == pytest.approx(loss.zero)
    assert loss.recovered_from_zero == pytest.approx(0, abs=1e-6)


def test_a_dictionary_that_is_only_the_mean_is_mean_ablation(host, documents):
    loss = measure_spliced_loss(host, documents, {SITE: empty_sae(mean_activation(host, documents, SITE))})

    assert loss.spliced == pytest.approx(loss.mean, abs=1e-6)


def test_the_clean_loss_is_that_of_each_document_alone(host, documents):
    log_probs = []
    for ids in documents:
        log_softmax = host.forward(host.batch([ids])).logits[0].log_softmax(-1)
        log_probs += log_softmax[1:-1].gather(1, ids[2:, None])[:, 0].tolist()

    loss = measure_spliced_loss(host, documents, {SITE: random_sae()})

    assert loss.n_predictions == len(log_probs) == 3 + 1 + 5
    assert loss.clean == pytest.approx(-sum(log_probs) / 9, rel=1e-5)


def test_several_sites_are_spliced_at_once(host, documents):
    saes = {Site("resid_post", 0): random_sae(), SITE: random_sae(seed=1)}

    both = measure_spliced_loss(host, documents, saes).spliced

    assert all(both != measure_spliced_loss(host, documents, {site: sae}).spliced for site, sae in saes.items())


def test_no_share_is_recovered_where_ablation_costs_nothing():
    loss = SplicedLoss(n_predictions=1, clean=2.0, spliced=2.5, zero=2.0, mean=3.0)

    assert loss.recovered_from_zero is None
    assert loss.recovered_from_mean == 0.5


def test_documents_of_one_token_hold_nothing_to_predict(host):
    with pytest.raises(ValueError, match="no token to predict"):
        measure_spliced_loss(host, [host.tokenise("w1")], {SITE: random_sae()})
