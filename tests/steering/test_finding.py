"""Candidates that fire, their order by what they cause, and cards, on dictionaries whose features are known."""

import dataclasses

import pytest
import torch
from tiny_models import random_sae, tiny_llama

from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site
from sae.prompt_pairs import Pair
from steering.directions import Feature
from steering.finding.candidates import Candidate, by_contrast
from steering.finding.mentions import by_mentions
from steering.finding.ranking import ranked, slope_candidates
from steering.last_token_runs import LastTokenRuns
from steering.risk_card import risk_cards
from steering.steered_host import open_steered_host

EMBED, LAST = Site.parse("embed"), Site.parse("resid_post.2")
TARGET, CAUSES, ONLY_FIRES = 20, 5, 6
TEXTS = ["w1 w9 w2 w3", "w4 w9 w5 w1", "w6 w9 w7 w7", "w1 w9 w8 w2", "w2 w9 w3 w5", "w3 w9 w1 w4"]


def token_sae(host, words: dict[int, int]) -> SAE:
    """At the embedding: feature i fires on one token only and on no other."""
    embeddings = host._model.model.embed_tokens.weight.detach()
    sae = random_sae(site=EMBED, d_sae=8)
    tensors = sae.tensors()
    encoder, bias = torch.zeros(8, 32), torch.full((8,), -1.0)
    for feature, word in words.items():
        row = embeddings[word]
        # largest where the token is the word itself, and thresholded halfway to the next best
        scores = embeddings @ row
        best, second = scores[word], scores[torch.arange(len(scores)) != word].max()
        encoder[feature], bias[feature] = row / (best - second), -second / (best - second) - 0.5
    wanted = tensors | {"W_enc": encoder.T, "b_enc": bias, "threshold": torch.zeros(8)}
    return SAE.from_stored(dataclasses.replace(sae.stored(), tensors=wanted))


def word_id(word: int) -> int:
    return word + 4


def test_features_that_fire_on_mentions_and_before_them():
    host = tiny_llama()
    embeddings = host._model.model.embed_tokens.weight.detach()
    sae = token_sae(host, {0: word_id(9), 1: word_id(7)})
    assert int((sae.encode(embeddings)[:, 0] > 0).sum()) == 1
    found = by_mentions(host, sae, EMBED, TEXTS, ["w9"], n_tokens=24)
    assert [(each.feature.index, each.found_by) for each in found] == [(0, "mention")]
    assert found[0].input_score == pytest.approx(1.0)


def test_a_concept_that_the_corpus_does_not_mention_is_one_line():
    with pytest.raises(ValueError, match="'w40' occurs 0 times in 24 tokens, expected at least 5"):
        by_mentions(tiny_llama(), random_sae(site=EMBED), EMBED, TEXTS, ["w40"], n_tokens=24)


def test_a_contrast_is_the_mean_difference_of_largest_activations():
    host, sae = tiny_llama(), random_sae(site=LAST)
    pairs = [Pair("w1 w2 w3", "w1 w2 w4", "w5", "w6"), Pair("w7 w2 w3", "w7 w2 w4", "w5", "w6")]
    largest = {}
    for side in ("clean_prefix", "patch_prefix"):
        rows = [host.capture(host.batch([host.tokenise(getattr(p, side))]), [LAST])[LAST][0, 1:] for p in pairs]
        largest[side] = torch.stack([sae.encode(x).amax(0) for x in rows])
    top = torch.cat(list(largest.values())).amax(0)
    wanted = (largest["clean_prefix"] - largest["patch_prefix"]).mean(0) / top.clamp(min=1e-9)
    found = by_contrast(host, sae, LAST, pairs)
    assert {each.feature.index for each in found} == set((wanted > 0).nonzero()[:, 0].tolist())
    for each in found:
        assert each.input_score == pytest.approx(float(wanted[each.feature.index]), rel=1e-4)


def test_equal_prompts_have_no_candidates():
    pair = Pair("w1 w2 w3", "w1 w2 w3", "w5", "w6")
    assert by_contrast(tiny_llama(), random_sae(site=LAST), LAST, [pair]) == []


def test_what_causes_ranks_before_what_only_fires():
    host, sae = tiny_llama(), random_sae(site=LAST)
    head = host._model.lm_head.weight.detach()
    decoder = sae.decoder_rows.clone()
    decoder[CAUSES], decoder[ONLY_FIRES] = head[TARGET] - head.mean(0), head.mean(0) - head[TARGET]
    planted = SAE.from_stored(dataclasses.replace(sae.stored(), tensors=sae.tensors() | {"W_dec": decoder}))
    steered = open_steered_host(host, saes={LAST: planted})
    rows = [host.tokenise(text) for text in TEXTS]
    # the one that only fires has the larger input score, and the others are random
    scores = {ONLY_FIRES: 0.9, CAUSES: 0.1, **dict.fromkeys(range(10, 20), 0.5)}
    candidates = [Candidate(Feature(LAST, index), "mention", score) for index, score in scores.items()]
    order = [each.feature.index for each in ranked(steered, candidates, rows, TARGET)]
    assert order[0] == CAUSES
    assert order[-1] == ONLY_FIRES
    runs = LastTokenRuns.record(host, rows, [LAST])
    assert slope_candidates(steered, runs, LAST, TARGET)[0].feature.index == CAUSES


def test_a_card_counts_what_fires_together():
    host, sae = tiny_llama(), random_sae(site=LAST)
    steered = open_steered_host(host, saes={LAST: sae})
    acts = torch.cat([sae.encode(host.capture(host.batch([host.tokenise(t)]), [LAST])[LAST][0, 1:]) > 0 for t in TEXTS])
    [card] = risk_cards(steered, [Feature(LAST, 3)], TEXTS, n_tokens=len(acts))
    assert card.n_tokens == len(acts)
    assert card.density == pytest.approx(float(acts[:, 3].double().mean()))
    assert len(card.promoted) == len(card.suppressed) == 5
    assert card.promoted[0].logit > 0 > card.suppressed[0].logit
    for other in card.co_firing:
        index = Feature.parse(other.feature).index
        both, either = (acts[:, 3] & acts[:, index]).sum(), (acts[:, 3] | acts[:, index]).sum()
        assert other.overlap == pytest.approx(float(both / either))
        assert index != 3


def test_cards_are_of_one_site():
    steered = open_steered_host(tiny_llama(), saes={LAST: random_sae(site=LAST)})
    with pytest.raises(ValueError, match="risk cards are of one site, got features of 2"):
        risk_cards(steered, [Feature(LAST, 3), Feature(EMBED, 3)], TEXTS, n_tokens=4)
