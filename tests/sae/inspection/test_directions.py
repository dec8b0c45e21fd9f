"""What decoder rows write and which of them are alike."""

import pytest
import torch
from tiny_models import tiny_llama

from sae.dictionary.autoencoder import SAE
from sae.inspection import logit_lens as module
from sae.inspection.logit_lens import logit_lens
from sae.inspection.neighbours import decoder_neighbours


@pytest.fixture(scope="module")
def host():
    host = tiny_llama()
    host._model.model.norm.weight.data = 1 + 0.5 * torch.randn(32, generator=torch.Generator().manual_seed(1))
    return host


def test_the_lens_is_the_unembedding_with_the_weight_of_the_norm(host, monkeypatch):
    monkeypatch.setattr(module, "ROWS_PER_PASS", 2)
    monkeypatch.setattr(module, "ROW_LENGTH", 3)
    directions = 0.3 * torch.randn(14, 32, generator=torch.Generator().manual_seed(0))
    model = host._model
    expected = (directions * model.model.norm.weight) @ model.lm_head.weight.T
    expected = expected - expected.mean(-1, keepdim=True)

    lenses = logit_lens(host, directions, n=5)

    assert len(lenses) == 14
    for lens, logits in zip(lenses, expected, strict=True):
        best, worst = logits.topk(5), logits.topk(5, largest=False)
        assert [pair.token_id for pair in lens.promoted] == best.indices.tolist()
        assert [pair.logit for pair in lens.promoted] == pytest.approx(best.values.tolist(), rel=1e-3, abs=1e-4)
        assert [pair.token_id for pair in lens.suppressed] == worst.indices.tolist()
        assert [pair.logit for pair in lens.suppressed] == pytest.approx(worst.values.tolist(), rel=1e-3, abs=1e-4)


def test_a_direction_of_no_length_says_nothing(host):
    [lens] = logit_lens(host, torch.zeros(1, 32), n=2)

    assert {pair.logit for pair in (*lens.promoted, *lens.suppressed)} == {0.0}


def test_no_more_tokens_than_there_are(host):
    [lens] = logit_lens(host, torch.ones(1, 32), n=1000)

    assert len(lens.promoted) == host.vocab_size


def sae_with_rows(rows):
    rows = torch.tensor(rows)
    zeros = torch.zeros(len(rows))
    return SAE(encoder_rows=rows, b_enc=zeros, decoder_rows=rows, b_dec=torch.zeros(rows.shape[1]), threshold=zeros)


def test_neighbours_by_hand():
    sae = sae_with_rows([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0], [-1.0, 0.0]])

    near = decoder_neighbours(sae, 0, n=2)

    assert [each.feature for each in near] == [2, 1]
    assert [each.cosine for each in near] == pytest.approx([0.5**0.5, 0.0])
    assert [each.feature for each in decoder_neighbours(sae, 0, n=9)] == [2, 1, 3]


def test_the_only_feature_has_no_neighbour():
    assert decoder_neighbours(sae_with_rows([[1.0, 0.0]]), 0) == ()
