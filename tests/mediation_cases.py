"""Pairs that a random model answers right by construction: its own answers are the right ones."""

import random
from dataclasses import replace

import torch
from circuit_cases import host, saes_at
from tiny_models import random_sae

from circuits.workbench import Workbench
from experiments.clinical_reasoning.asked_pairs import AskedPair, ask
from experiments.clinical_reasoning.subject import Subject
from experiments.clinical_reasoning.vignette_pair import VignettePair
from sae.annotated_text import TextSpan
from sae.dictionary.labels import FeatureLabel

PROMPTS = (
    ("w1 w2 w3 w4 w5", "w1 w2 w7 w4 w5"),
    ("w6 w2 w3 w4 w9 w8 w5", "w6 w2 w11 w4 w9 w8 w5"),
    ("w4 w1 w3 w2", "w4 w1 w12 w2"),
    ("w1 w2 w3 w4 w20", "w1 w2 w30 w4 w20"),
)


def workbench(**labels) -> Workbench:
    saes = saes_at("resid_post")
    return Workbench(host(), saes, {site: labels.get(str(site), {}) for site in saes})


def own_answer(prompt: str) -> str:
    logits = host().forward(host().batch([host().tokenise(prompt)]), logits_to_keep=1).logits[0, -1]
    return host().tokenizer.decode([int(logits.argmax())])


def pair(prompt: str, changed: str, *, kind="finding", template="t") -> VignettePair:
    words = prompt.split(), changed.split()
    place = next(i for i, (a, b) in enumerate(zip(*words, strict=True)) if a != b)
    spans = []
    for own, polarity in zip(words, ("pos:a", "pos:b"), strict=True):
        start = len(" ".join(own[:place])) + 1
        spans.append((TextSpan(start, start + len(own[place]), polarity),))
    return VignettePair(
        kind, template, prompt, changed, own_answer(prompt), own_answer(changed), "pos:a", "pos:b", *spans
    )


class TinyPairs:
    """Pairs of a kind without end: one of three words at the end takes another's, whose concepts they say."""

    def pairs(self, kind, *, seed: int):
        rng = random.Random(f"{kind} {seed}")
        while True:
            words = [f"w{rng.randrange(10, 44)}" for _ in range(5)]
            own, other = rng.sample(("w1", "w2", "w3"), 2)
            texts = [" ".join([*words, word]) for word in (own, other)]
            told = pair(*texts, kind=kind, template=f"t{rng.randrange(6)}")
            named = [
                (replace(span, concept=f"pos:{w}"),)
                for span, w in ((told.spans[0], own), (told.changed_spans[0], other))
            ]
            yield replace(
                told, changed_from=f"pos:{own}", changed_to=f"pos:{other}", spans=named[0], changed_spans=named[1]
            )


def subject(*, tools: Workbench | None = None, broad: Workbench | None = None) -> Subject:
    return Subject("tiny", tools or workbench(), TinyPairs(), broad)


def asked() -> list[AskedPair]:
    return ask(host(), [pair(*texts, template=f"t{i}") for i, texts in enumerate(PROMPTS)])


def planted() -> Workbench:
    """A random dictionary at the first layer, whose features 1, 2 and 3 stand for the words w1, w2 and w3."""
    site = host().sites[next(i for i, at in enumerate(host().sites) if at.kind == "resid_post")]
    rng = random.Random(0)
    rows = [[word, *(rng.randrange(10, 44) for _ in range(2))] for word in (1, 2, 3) for _ in range(20)]
    texts = [host().tokenise(f"w{b} w{c} w{word}") for word, b, c in rows]
    x = torch.stack([host().capture(host().batch([ids]), [site])[site][0, -1] for ids in texts]).unflatten(0, (3, 20))
    directions = torch.nn.functional.normalize(x.mean(dim=1) - x.mean(dim=(0, 1)), dim=1)
    sae = random_sae(32, 64, site)
    sae.decoder_rows[1:4] = directions
    sae.encoder_rows[1:4] = directions
    sae.b_enc[1:4] = -(directions @ x.mean(dim=(0, 1)))
    named = {i: FeatureLabel(f"finding:w{i}", 1.0) for i in (1, 2, 3)}
    return Workbench(host(), {site: sae}, {site: named})


def everywhere(each: AskedPair) -> torch.Tensor:
    return torch.arange(1, len(each.ids))
