"""Perplexity of held-out text."""

import math

import pytest
import torch
from tiny_models import tiny_llama_model, tiny_tokenizer
from torch.nn.functional import log_softmax

from experiments.adaptation.held_out_loss import HeldOutLoss, measure_held_out_loss, perplexity_ratio

TEXTS = ["w0 w1 w2 w3", "w9 w8", "w5 w5 w5 w5 w5 w5"]


def losses(nats: list[float], n: list[float]) -> HeldOutLoss:
    return HeldOutLoss(torch.tensor(nats, dtype=torch.float64), torch.tensor(n, dtype=torch.float64))


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary():
    model = tiny_llama_model(tie_word_embeddings=False)
    torch.nn.init.zeros_(model.lm_head.weight)
    measured = measure_held_out_loss(model, tiny_tokenizer(), TEXTS, context_length=64).perplexity()
    assert measured.value == pytest.approx(48, rel=1e-5)
    assert measured.low == pytest.approx(48, rel=1e-5)


def test_nats_are_those_of_each_document_by_itself():
    model, tokenizer = tiny_llama_model(), tiny_tokenizer()
    measured = measure_held_out_loss(model, tokenizer, TEXTS, context_length=4)
    for text, nats, n in zip(TEXTS, measured.nats, measured.n_predictions, strict=True):
        ids = torch.tensor(tokenizer(text)["input_ids"][:4])
        log_probs = log_softmax(model(ids[None]).logits[0], -1)
        expected = -sum(log_probs[place, ids[place + 1]] for place in range(len(ids) - 1))
        assert nats.item() == pytest.approx(expected.item(), rel=1e-5)
        assert n == len(ids) - 1


def test_perplexity_weighs_tokens_alike():
    measured = losses([math.log(2) * 3, math.log(8)], [3, 1]).perplexity()
    assert measured.value == pytest.approx(2**1.5)
    assert measured.low == pytest.approx(2)
    assert measured.high == pytest.approx(8)


def test_a_ratio_is_paired_by_document():
    before = losses([10.0, 90.0], [10, 30])
    ratio = perplexity_ratio(losses([5.0, 75.0], [10, 30]), before)
    assert (ratio.low, ratio.high) == (pytest.approx(math.exp(-0.5)), pytest.approx(math.exp(-0.5)))
    assert perplexity_ratio(before, before).value == 1


def test_nothing_to_predict_is_refused():
    tokenizer = tiny_tokenizer()
    with pytest.raises(ValueError, match="none of 1 held-out documents has two tokens"):
        measure_held_out_loss(tiny_llama_model(), tokenizer, ["w1"], context_length=1)
