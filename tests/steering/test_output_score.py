"""Output scores against their definition, a planted feature that causes and one that does not."""

import dataclasses

import pytest
import torch
from tiny_models import random_sae, random_transcoder, tiny_llama

from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site
from sae.inspection.logit_lens import logit_lens
from steering.directions import Feature
from steering.first_order_effects import first_order_effects
from steering.interventions import Intervention, SteeringSpec
from steering.last_token_runs import LastTokenRuns
from steering.output_score import answer_scores, output_scores
from steering.positions import read_prompt
from steering.steered_host import open_steered_host

PROMPTS = ("w1 w2 w3", "w4 w5", "w6 w7 w8 w9 w10")
TARGET = 20
CAUSES, ONLY_FIRES = 5, 6


def planted(site: Site, host) -> SAE:
    """A random dictionary with one feature that writes the target and one that fires as often and writes against it."""
    sae = random_sae(site=site)
    # what the unembedding reads of the target, as against the mean token
    head = host._model.lm_head.weight.detach()
    speaks = head[TARGET] - head.mean(0)
    decoder = sae.decoder_rows.clone()
    decoder[CAUSES], decoder[ONLY_FIRES] = speaks, -speaks
    return SAE.from_stored(dataclasses.replace(sae.stored(), tensors=sae.tensors() | {"W_dec": decoder}))


def runs_of(host, site: Site, continuation=()) -> LastTokenRuns:
    return LastTokenRuns.record(host, [host.tokenise(text) for text in PROMPTS], [site], continuation=continuation)


def defined_output_score(host, sae, site: Site, feature: int, prompt: str, factor: float) -> float:
    """Arad et al. 2025, step by step, through whole steered runs."""
    read = read_prompt(host, prompt)
    at = sae.input_site or site
    largest = float(sae.encode(host.capture(host.batch([read.ids]), [at])[at][0, -1]).max())
    steered = open_steered_host(host, saes={site: sae})
    spec = SteeringSpec((Intervention(Feature(site, feature), "add", factor * largest, "raw", "last"),))
    probabilities = steered.forward([read], [spec], logits_to_keep=1).logits[0, -1].double().softmax(-1)
    order = probabilities.argsort(descending=True).tolist()
    lens = [pair.token_id for pair in logit_lens(host, sae.decoder_rows[feature][None], n=20)[0].promoted]
    rank = min(order.index(token) for token in lens)
    return (1 - rank / len(order)) * max(float(probabilities[token]) for token in lens)


@pytest.mark.parametrize("site", ["resid_post.1", "mlp_out.1"])
def test_the_papers_score_is_its_definition(site):
    host, place = tiny_llama(), Site.parse(site)
    sae = random_transcoder(1) if place.kind == "mlp_out" else random_sae(site=place)
    found = output_scores(host, sae, place, [0, 3, 9], prompt="w1 w2 w3", amplification=3.0)
    wanted = [defined_output_score(host, sae, place, feature, "w1 w2 w3", 3.0) for feature in (0, 3, 9)]
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("site", ["resid_post.1", "resid_post.2"])
def test_a_feature_that_writes_the_answer_ranks_first_and_one_that_only_fires_last(site):
    host, place = tiny_llama(), Site.parse(site)
    sae = planted(place, host)
    scores = answer_scores(runs_of(host, place), place, sae.decoder_rows, [TARGET]).mean(1)
    order = scores.argsort(descending=True).tolist()
    assert order[0] == CAUSES
    assert ONLY_FIRES in order[-10:]
    random = scores[[i for i in range(len(scores)) if i not in (CAUSES, ONLY_FIRES)]]
    assert float(scores[CAUSES]) > 3 * float(random.max())
    assert float(scores[ONLY_FIRES]) < float(random.median())


def test_answer_scores_are_those_of_whole_steered_runs():
    host, place = tiny_llama(), Site.parse("resid_post.0")
    sae, target = random_sae(site=place), (TARGET, 9)
    runs = runs_of(host, place, continuation=target[:-1])
    found = answer_scores(runs, place, sae.decoder_rows[:3], target, relative_lengths=(0.5, 2.0))
    stream = runs.activations[place][:, -2].norm(dim=-1).median()
    steered, prompts = open_steered_host(host, saes={place: sae}), [read_prompt(host, text) for text in PROMPTS]
    for feature in range(3):
        by_hand = torch.zeros(len(prompts), dtype=torch.float64)
        for length in (0.5, 2.0):
            value = float(length * stream / sae.decoder_rows[feature].norm())
            spec = SteeringSpec((Intervention(Feature(place, feature), "add", value, "raw", "last"),))
            following = [torch.tensor(target[:-1])] * len(prompts)
            logits = steered.forward(prompts, [spec] * len(prompts), following, logits_to_keep=2).logits
            for row, of_prompt in enumerate(logits.double().softmax(-1)):
                places = [of_prompt[i].argsort(descending=True).tolist().index(token) for i, token in enumerate(target)]
                p = of_prompt[0, target[0]] * of_prompt[1, target[1]]
                by_hand[row] += (1 - max(places) / host.vocab_size) * p / 2
        torch.testing.assert_close(found[feature], by_hand, rtol=1e-4, atol=1e-8)


def test_an_answer_that_the_prompts_are_not_continued_by_is_refused():
    host, place = tiny_llama(), Site.parse("resid_post.0")
    with pytest.raises(ValueError, match="the answer has 2 tokens, but 1 are read of each prompt"):
        answer_scores(runs_of(host, place), place, torch.ones(1, 32), [1, 2])


@pytest.mark.parametrize("target", [(TARGET,), (TARGET, 9)], ids=["one token", "two tokens"])
def test_first_order_effects_are_slopes(target):
    host, place = tiny_llama(), Site.parse("resid_post.1")
    runs = runs_of(host, place, continuation=target[:-1])
    directions = random_sae(site=place).decoder_rows[:4]
    found = first_order_effects(runs, place, directions, target)
    step = 1e-2

    def log_probability(change):
        [logits] = runs.logits(place, change[None])
        steps = torch.arange(len(target))
        return logits.log_softmax(-1)[:, steps, list(target)].sum(-1).mean()

    for row, direction in enumerate(directions / directions.norm(dim=1, keepdim=True)):
        slope = (log_probability(step * direction) - log_probability(-step * direction)) / (2 * step)
        assert float(found[row]) == pytest.approx(float(slope), rel=2e-2, abs=1e-3)


def test_first_order_effects_find_the_planted_feature():
    host, place = tiny_llama(), Site.parse("resid_post.2")
    found = first_order_effects(runs_of(host, place), place, planted(place, host).decoder_rows, [TARGET])
    assert int(found.argmax()) == CAUSES
    assert int(found.argmin()) == ONLY_FIRES
