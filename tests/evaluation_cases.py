"""Documents and dictionaries that the tests of evaluation share."""

import random

import torch
from torch import Tensor

from sae.annotated_text import AnnotatedText, AnswerPlace, TextSpan
from sae.dictionary.autoencoder import SAE
from sae.evaluation.position_classes import EXCLUDED, EvaluationDocument, read_evaluation_documents
from sae.host.host import HostModel
from sae.host.sites import Site

SITE = Site("resid_post", 1)


def texts(n: int = 30, *, seed: int = 0) -> list[AnnotatedText]:
    """Random words of the tiny tokenizer; the third word says a concept, the last but one asks for an answer."""
    rng = random.Random(seed)
    found = []
    for _ in range(n):
        words = [f"w{rng.randrange(44)}" for _ in range(rng.randrange(6, 14))]
        start = len(" ".join(words[:2])) + 1
        concept = TextSpan(start, start + len(words[2]), "third")
        answer = AnswerPlace(len(" ".join(words[:-1])), words[-1])
        found.append(AnnotatedText(" ".join(words), (concept,), (answer,)))
    return found


def documents(host: HostModel, n: int = 30, *, seed: int = 0) -> list[EvaluationDocument]:
    """The same as a host is fed them."""
    return read_evaluation_documents(host, texts(n, seed=seed), n_tokens=10**6, context_tokens=64)


def activations(host: HostModel, document: EvaluationDocument, site: Site = SITE) -> Tensor:
    """Of the evaluated tokens of one document, run by itself."""
    return host.capture(host.batch([document.ids]), [site])[site][0][document.classes != EXCLUDED]


def all_activations(host: HostModel, found: list[EvaluationDocument], site: Site = SITE) -> Tensor:
    """Of all documents, in their order."""
    return torch.cat([activations(host, document, site) for document in found])


def at_site(sae: SAE, site: Site = SITE) -> SAE:
    """The same dictionary, which knows its site."""
    return SAE(
        encoder_rows=sae.encoder_rows,
        b_enc=sae.b_enc,
        decoder_rows=sae.decoder_rows,
        b_dec=sae.b_dec,
        threshold=sae.threshold,
        site=site,
    )
