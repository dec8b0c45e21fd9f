"""Scores of next tokens in chunks are those of whole logits."""

import pytest
import torch
from tiny_models import FAMILY_SETTINGS, tiny_family

from sae.evaluation import next_token_scores as module
from sae.evaluation.next_token_scores import next_token_scores
from sae.host.sites import Site

LAST = Site("resid_post", 2)


@pytest.mark.parametrize("family", FAMILY_SETTINGS)
def test_unembedding_what_leaves_the_last_layer_gives_the_logits(family):
    host = tiny_family(family)
    batch = host.batch([host.tokenise("w1 w2 w3 w4 w5")])
    run = host.forward(batch, capture=[LAST])

    torch.testing.assert_close(host.unembed(run.activations[LAST][0]), run.logits[0], atol=1e-5, rtol=1e-5)


@pytest.fixture
def streams(tiny_host):
    batch = tiny_host.batch([tiny_host.tokenise("w1 w2 w3 w4 w5 w6 w7")])
    plain = tiny_host.forward(batch, capture=[LAST]).activations[LAST][0]
    noise = torch.randn(plain.shape, generator=torch.Generator().manual_seed(0))
    return plain, {"same": plain, "noisy": plain + noise}, torch.arange(4, 12)


@pytest.mark.parametrize("chunk_tokens", [1, 3, 100])
def test_scores_are_those_of_whole_logits(tiny_host, streams, monkeypatch, chunk_tokens):
    monkeypatch.setattr(module, "LOGIT_BYTES", 4 * 48 * chunk_tokens)
    plain, runs, next_ids = streams

    of_plain, of_runs = next_token_scores(tiny_host, plain, runs, next_ids)

    log_p = tiny_host.unembed(plain).double().log_softmax(-1)
    log_q = tiny_host.unembed(runs["noisy"]).double().log_softmax(-1)
    rows = torch.arange(8)
    close = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(of_plain.cross_entropy, -log_p[rows, next_ids], **close)
    torch.testing.assert_close(of_runs["noisy"].cross_entropy, -log_q[rows, next_ids], **close)
    torch.testing.assert_close(of_runs["noisy"].divergence, (log_p.exp() * (log_p - log_q)).sum(-1), **close)
    assert of_runs["noisy"].is_right.tolist() == (log_q.argmax(-1) == next_ids).tolist()
    assert of_plain.divergence.count_nonzero() == 0
    assert of_runs["same"].divergence.abs().max() == 0


def test_a_large_vocabulary_is_never_held_twice(tiny_host, streams, monkeypatch):
    rows = []
    unembed = tiny_host.unembed
    monkeypatch.setattr(tiny_host, "unembed", lambda stream: rows.append(len(stream)) or unembed(stream))
    monkeypatch.setattr(module, "LOGIT_BYTES", 4 * 48 * 2)

    next_token_scores(tiny_host, *streams)

    assert max(rows) == 2


def test_no_token_has_no_scores(tiny_host):
    of_plain, of_runs = next_token_scores(
        tiny_host, torch.zeros(0, 32), {"a": torch.zeros(0, 32)}, torch.zeros(0, dtype=torch.long)
    )

    assert len(of_plain.cross_entropy) == len(of_runs["a"].divergence) == 0


@pytest.mark.parametrize("site", [Site("embed", None), Site("resid_post", 0), Site("mlp_out", 1), LAST], ids=str)
def test_holding_a_site_gives_what_an_edit_there_gives(tiny_host, site):
    batch = tiny_host.batch([tiny_host.tokenise("w1 w2 w3"), tiny_host.tokenise("w4 w5 w6 w7")])
    held = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))

    stream = tiny_host.last_stream(batch, site, held)

    expected = tiny_host.forward(batch, {site: lambda x: held}).logits
    torch.testing.assert_close(tiny_host.unembed(stream.flatten(0, 1)).view(expected.shape), expected)
