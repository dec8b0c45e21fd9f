"""Texts of made-up words with features whose meaning is known, to see whether a score finds it."""

import random
from functools import cache

import torch

from sae.dictionary.feature_acts import FeatureActs
from sae.interpretation.concept_text import ConceptText
from sae.interpretation.encoded_text import EncodedText, joined_texts, text_of_acts
from sae.interpretation.material import Material
from sae.interpretation.roles import Role, role_of
from sae.interpretation.window_texts import WindowTexts
from sae.interpretation.windows import cut_windows

N_WORDS = 400
TOKENS = {token: f" word{token}" for token in range(N_WORDS)}
FEVER, COUGH, DENIES, RASH = 5, 6, 7, 8
COMMON = range(10, 18)
"""What most documents have in common, and no feature is on."""

WORD, EITHER, AFTER, ASSERTED, NEAR, RANDOM, OTHER_RANDOM, DEAD, RARE = range(9)
"""Features: on FEVER; on FEVER or COUGH; one token after DENIES; on RASH unless DENIES stands before it; on FEVER, like
the first one; on tokens at random, twice; never; in two documents."""
D_SAE = 9
KNOWN = (WORD, EITHER, AFTER, ASSERTED)


def documents(n: int, seed: int) -> list[list[int]]:
    """Documents of 20 to 60 words, many of them common; a quarter holds each of the special ones, at any place."""
    rng = random.Random(seed)
    found = []
    for _ in range(n):
        words = [
            rng.choice(COMMON) if rng.random() < 0.3 else rng.randrange(20, N_WORDS)
            for _ in range(rng.randrange(20, 60))
        ]
        for special in ([FEVER], [COUGH], [DENIES], [RASH], [DENIES, RASH]):
            if rng.random() < 0.25:
                place = rng.randrange(len(words) - 2)
                words[place : place + len(special)] = special
        found.append(words)
    return found


def activations(rows: list[list[int]], seed: int) -> FeatureActs:
    """What each feature does on documents, by the rules above; sizes are random."""
    rng = random.Random(seed)
    dense = torch.zeros(sum(map(len, rows)), D_SAE)
    token = 0
    for number, row in enumerate(rows):
        for place, word in enumerate(row):
            before = row[place - 1] if place else None
            fires = {
                WORD: word == FEVER,
                EITHER: word in (FEVER, COUGH),
                AFTER: before == DENIES,
                ASSERTED: word == RASH and before != DENIES,
                NEAR: word == FEVER,
                RANDOM: rng.random() < 0.01,
                OTHER_RANDOM: rng.random() < 0.01,
                RARE: number < 2 and place == 0,
            }
            for feature, is_active in fires.items():
                if is_active:
                    dense[token, feature] = 0.1 + rng.random()
            token += 1
    return FeatureActs.from_dense(dense)


def as_text(rows: list[list[int]], roles: list[Role], seed: int = 0) -> EncodedText:
    """Documents of words with the features' activations."""
    texts = ["".join(TOKENS[word] for word in row).strip() for row in rows]
    return text_of_acts(texts, [torch.tensor(row) for row in rows], activations(rows, seed), roles)


def flipped(rows: list[list[int]]) -> list[list[int]]:
    """Each document that holds RASH undenied, followed by itself with DENIES before it."""
    pairs = []
    for row in rows:
        places = [place for place in range(1, len(row)) if row[place] == RASH and row[place - 1] != DENIES]
        if places and row[places[0] - 1] >= COMMON.start:
            denied = [*row[: places[0] - 1], DENIES, *row[places[0] :]]
            pairs += [row, denied]
    return pairs


@cache
def planted_material(n_documents: int = 1500) -> Material:
    """A corpus, denials and fresh text with the planted features; the concepts are the special words."""
    rows = documents(n_documents, seed=0)
    main = as_text(rows, [role_of("".join(TOKENS[word] for word in row).strip()) for row in rows])
    pairs = flipped(documents(n_documents // 3, seed=1))
    flips = as_text(pairs, [Role.ORIGINAL, Role.FLIPPED] * (len(pairs) // 2), seed=1)
    new = documents(n_documents // 2, seed=2)
    text = joined_texts([main, flips, as_text(new, [Role.FRESH] * len(new), seed=2)])
    windows = cut_windows(text, width=16)
    names = {FEVER: "fever", COUGH: "cough", RASH: "rash"}
    tokens = torch.isin(text.token_ids, torch.tensor(sorted(names))).nonzero()[:, 0]
    concepts = ("cough", "fever", "rash")
    columns = torch.tensor([concepts.index(names[word]) for word in text.token_ids[tokens].tolist()])
    said = ConceptText(concepts, {name: name for name in concepts}, tokens, columns)
    return Material("planted", windows, WindowTexts(windows, TOKENS), said, True, len(pairs) // 2)
