"""Labelled documents in the words of the tiny models, and a dictionary whose features are known."""

import random

import torch
from tiny_models import WORDS

from sae.annotated_text import AnnotatedText, TextSpan
from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.host.sites import Site

ILL = {"fever": ("w5", "w6"), "cough": ("w7", "w8")}
"""Concepts with the words that tell them."""
PLAIN = [word for word in WORDS if word not in {"w5", "w6", "w7", "w8"}]


def told(words: list[str], meanings: dict[str, str]) -> AnnotatedText:
    """The words as a text, with a span on every word that means something."""
    spans, start = [], 0
    for word in words:
        if word in meanings:
            spans.append(TextSpan(start, start + len(word), meanings[word]))
        start += len(word) + 1
    return AnnotatedText(" ".join(words), tuple(spans))


def ill_documents(n: int = 120, *, seed: int = 0) -> list[AnnotatedText]:
    """Documents of nine plain words, two of three of them with a word for each concept somewhere."""
    rng = random.Random(seed)
    meanings = {word: concept for concept, words in ILL.items() for word in words}
    documents = []
    for _ in range(n):
        words = rng.choices(PLAIN, k=9)
        for synonyms in ILL.values():
            if rng.random() < 2 / 3:
                words.insert(rng.randrange(len(words) + 1), rng.choice(synonyms))
        documents.append(told(words, meanings))
    return documents


def embedding_sae(host: HostModel, features: list[list[str]]) -> SAE:
    """A dictionary at the embedding: feature i is active on the words of `features[i]`, and on no other, with 1.

    It writes the mean of their embeddings.
    """
    table = host._model.get_input_embeddings().weight.detach().float()
    wanted = torch.zeros(len(table), len(features))
    for feature, words in enumerate(features):
        wanted[host.tokenizer.convert_tokens_to_ids(words), feature] = 1
    # more words than dimensions: exact on the words that matter, and small on the rest
    weight = torch.full((len(table), 1), 1.0)
    weight[host.tokenizer.convert_tokens_to_ids(sorted({word for words in features for word in words}))] = 1e3
    design = torch.cat([table, torch.ones(len(table), 1)], 1)
    means = [table[host.tokenizer.convert_tokens_to_ids(words)].mean(0) for words in features]
    solution = torch.linalg.lstsq(weight * design, weight * wanted).solution
    return SAE(
        encoder_rows=solution[:-1].T.contiguous(),
        b_enc=solution[-1],
        decoder_rows=torch.stack(means),
        b_dec=torch.zeros(table.shape[1]),
        threshold=torch.full((len(features),), 0.98),
        site=Site("embed", None),
    )
