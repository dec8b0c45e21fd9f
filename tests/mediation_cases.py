"""Pairs that a random model answers right by construction: its own answers are the right ones."""

import random
from dataclasses import replace

import torch
from circuit_cases import host, saes_at

from circuits.workbench import Workbench
from experiments.clinical_reasoning.asked_pairs import AskedPair, ask
from experiments.clinical_reasoning.subject import Subject
from experiments.clinical_reasoning.vignette_pair import VignettePair
from sae.annotated_text import TextSpan

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
    """Pairs of a kind without end: one of three words at a place takes another's, whose concepts they say."""

    def pairs(self, kind, *, seed: int):
        rng = random.Random(f"{kind} {seed}")
        while True:
            words = [f"w{rng.randrange(10, 44)}" for _ in range(5)]
            own, other = rng.sample(("w1", "w2", "w3"), 2)
            texts = [" ".join([*words[:2], word, *words[2:]]) for word in (own, other)]
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


def everywhere(each: AskedPair) -> torch.Tensor:
    return torch.arange(1, len(each.ids))
