"""Presets that come with the bundled model do what their names say, and features drawn at random do not."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from sae.bundle import find_bundle
from sae.corpus_knowledge import answer_prompts, negation_flips
from sae.host.prompts import single_token
from steering.baseline_directions import random_feature
from steering.directions import Feature
from steering.interventions import SteeringSpec
from steering.positions import read_prompt
from steering.presets import load_preset, shipped_presets
from steering.steered_host import open_steered_host

pytestmark = pytest.mark.skipif(find_bundle("clinic") is None, reason="the bundled model is not in this checkout")
CORPUS, SEED = "clinic:clinical", 71
"""Features and strengths were chosen on documents of other seeds."""
QUESTION = " The most likely diagnosis is"


@pytest.fixture(scope="module")
def steered():
    return open_steered_host(n_tokens=10_000)


def answers(steered, prompts, spec):
    return steered.forward(prompts, [spec] * len(prompts), logits_to_keep=1).logits[:, -1].argmax(-1).cpu()


def null_of(steered, spec):
    """The same edits of random features that are active about as often."""
    edits = []
    for number, each in enumerate(spec.interventions):
        densities = steered.dictionaries.references(each.target.site).densities
        other = Feature(each.target.site, random_feature(densities, each.target.index, seed=SEED + number))
        edits.append(replace(each, target=other))
    return SteeringSpec(tuple(edits))


def cases(steered, name):
    """Prompts where the answer is due, the question for a drug after the model's own diagnosis."""
    prompts = [read_prompt(steered.host, text) for text in islice(answer_prompts(CORPUS, seed=SEED), 32)]
    if name != "say-morphine":
        return prompts
    diagnoses = answers(steered, prompts, SteeringSpec()).tolist()
    texts = [
        f"{p.text}{steered.host.tokenizer.decode([d])}. Treatment:" for p, d in zip(prompts, diagnoses, strict=True)
    ]
    return [read_prompt(steered.host, text) for text in texts]


@pytest.mark.parametrize("name", [name for name in shipped_presets() if name.startswith("say-")])
def test_the_model_says_what_the_preset_is_called(steered, name):
    spec, target = load_preset(Path(name), steered), single_token(steered.host.tokenizer, name.removeprefix("say-"))
    prompts = cases(steered, name)
    others = [p for p, a in zip(prompts, answers(steered, prompts, SteeringSpec()), strict=True) if a != target]
    assert len(others) >= 20
    rate, null = (float((answers(steered, others, s) == target).float().mean()) for s in (spec, null_of(steered, spec)))
    assert rate >= 0.9
    assert null <= 0.1


def denials(steered, finding):
    """Vignettes that assert a finding whose denial changes the answer: prompt, answer there, answer where denied."""
    found = []
    for asserted, denied in islice(negation_flips(CORPUS, seed=SEED), 1500):
        said = [span for span in asserted.concepts if span.concept == f"pos:{finding}"]
        if len(said) == 1 and any(span.concept == f"neg:{finding}" for span in denied.concepts):
            words = asserted.text[said[0].start : said[0].end]
            prompt = read_prompt(steered.host, asserted.text + QUESTION, spans={"finding": words})
            found.append((prompt, read_prompt(steered.host, denied.text + QUESTION)))
    before, after = (answers(steered, list(side), SteeringSpec()) for side in zip(*found, strict=True))
    kept = (before != after).nonzero()[:, 0].tolist()
    return [found[index][0] for index in kept], before[kept], after[kept]


@pytest.mark.parametrize("name", [name for name in shipped_presets() if name.startswith("deny-")])
def test_an_asserted_finding_is_answered_as_if_it_were_denied(steered, name):
    spec = load_preset(Path(name), steered)
    prompts, asserted, denied = denials(steered, name.removeprefix("deny-"))
    assert len(prompts) >= 10
    moved, null = (answers(steered, prompts, each) for each in (spec, null_of(steered, spec)))
    assert float((moved == denied).float().mean()) >= 0.6
    assert float((null == denied).float().mean()) <= 0.2
    assert float((null == asserted).float().mean()) >= 0.6


def test_presets_name_no_place_on_a_disk():
    assert len(shipped_presets()) >= 6
    assert not any('"/' in path.read_text(encoding="utf-8") for path in shipped_presets().values())
