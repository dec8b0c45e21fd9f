"""Effects on the target against their definitions."""

import math

import pytest
import torch

from steering.target_effects import lexicon_hits, target_effects


def of(probabilities: list[list[float]], *ids: int):
    logits = torch.tensor(probabilities).log()[None] + 3.0
    return target_effects(logits, torch.tensor([ids]))


def test_one_token_has_the_odds_of_its_probability():
    found = of([[0.5, 0.3, 0.2]], 1)
    assert not found.is_top[0]
    assert found.log_odds[0].item() == pytest.approx(math.log(0.3 / 0.7), abs=1e-6)
    assert found.logit[0].item() == pytest.approx(math.log(0.3) + 3.0, abs=1e-6)


def test_several_tokens_have_the_odds_of_the_product_and_are_top_only_together():
    found = of([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]], 0, 1)
    assert found.is_top[0]
    assert found.log_odds[0].item() == pytest.approx(math.log(0.4 / 0.6), abs=1e-6)
    assert not of([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]], 1, 1).is_top[0]


def test_the_odds_of_a_certain_answer_are_finite():
    logits = torch.tensor([[[200.0, 0.0, 0.0]]])
    assert target_effects(logits, torch.tensor([[0]])).log_odds[0].item() == pytest.approx(200 - math.log(2))


def test_equal_logits_give_the_odds_of_chance():
    found = target_effects(torch.zeros(2, 1, 5), torch.tensor([[4], [0]]))
    assert found.log_odds.tolist() == pytest.approx([-math.log(4)] * 2)


def test_no_target_and_a_token_too_many_are_refused():
    with pytest.raises(ValueError, match="the target has no tokens"):
        target_effects(torch.zeros(1, 0, 5), torch.zeros(1, 0, dtype=torch.long))
    with pytest.raises(ValueError, match="token 5, but the model has 5 tokens"):
        target_effects(torch.zeros(1, 1, 5), torch.tensor([[5]]))


def test_a_lexicon_is_of_whole_words():
    texts = ["It is gout.", "GOUT", "gouty arthritis", "night  sweats", "night sweats, then", ""]
    assert lexicon_hits(texts, ["gout", "night sweats"]).tolist() == [True, True, False, False, True, False]
    assert lexicon_hits([], ["gout"]).tolist() == []
    with pytest.raises(ValueError, match="holds no word"):
        lexicon_hits(texts, [" "])
