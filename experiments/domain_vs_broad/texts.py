"""The text of the comparison: what is trained on, and the held-out documents that all arms are judged on."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from experiments.document_split import held_out_only, training_texts
from experiments.domain_vs_broad.profiles.profile import Profile
from experiments.near_duplicates import Deduplicated, without_duplicates
from sae.activations.harvest import harvest
from sae.annotated_text import AnnotatedText
from sae.corpora import read_corpus
from sae.corpus_knowledge import annotated_texts
from sae.evaluation.degenerate import constant_sae
from sae.evaluation.position_classes import EvaluationDocument, read_evaluation_documents
from sae.evaluation.survey import survey
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = [
    "EvaluationText",
    "TrainingRows",
    "check_texts",
    "evaluation_text",
    "mixed_rows",
    "seen_by",
    "training_rows",
]

CALIBRATION_SHARE = 0.1
SPARE = 1.5
"""Held-out documents are read for so many times the tokens wanted: some are found to be duplicates."""


def check_texts(profile: Profile) -> None:
    """Open every text before hours are spent on hosts.

    Raises:
        ValueError: One is missing, or cannot be reached.
    """
    for spec in (profile.domain, profile.broad, profile.judged_domain, profile.judged_broad):
        if spec is not None:
            read_corpus(spec)


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """Activations of one text.

    Attributes:
        train: To draw from.
        calibration: Other documents, on which L0 is held.
    """

    train: Float[Tensor, "tokens d_model"]
    calibration: Float[Tensor, "calibration_tokens d_model"]


def training_rows(host: HostModel, spec: str, site: Site, *, n_tokens: int, context: int | None = None) -> TrainingRows:
    """Run the documents of a text that may be trained on.

    Args:
        host: The model.
        spec: SPEC of the text.
        site: Where to read.
        n_tokens: Distinct tokens to draw from; a tenth more is kept for calibration.
        context: Most tokens of a document, if not all that the host can read.
    """
    texts = training_texts(read_corpus(spec))
    n_calibration = max(1, int(n_tokens * CALIBRATION_SHARE))
    calibration = harvest(host, texts, [site], n_tokens=n_calibration, context_tokens=context)
    train = harvest(host, texts, [site], n_tokens=n_tokens, context_tokens=context)
    return TrainingRows(train.activations[site], calibration.activations[site])


@dataclass(frozen=True, eq=False)
class EvaluationText:
    """Held-out documents of one text.

    Attributes:
        documents: What the arms are judged on.
        texts: The documents as they were read, in their order, with what is known of their places; a few more than
            were needed.
        duplicates: What was left out.
        mean: Of the activations at the site.
    """

    documents: list[EvaluationDocument]
    texts: list[AnnotatedText]
    duplicates: Deduplicated
    mean: Float64[Tensor, " d_model"]


def evaluation_text(
    host: HostModel,
    spec: str,
    training: tuple[str, ...],
    site: Site,
    *,
    n_tokens: int,
    n_trained: int,
    context: int,
) -> EvaluationText:
    """Held-out documents, less those that the training texts hold too.

    Args:
        host: Whose tokenizer to use.
        spec: SPEC of the text.
        training: SPECs of all texts that arms were trained on.
        site: Where arms are judged.
        n_tokens: Tokens wanted.
        n_trained: Tokens that were read of each training text.
        context: Most tokens of a document.

    Raises:
        ValueError: No document is left.
    """
    candidates = []
    missing = SPARE * n_tokens
    for text in held_out_only(annotated_texts(spec)):
        candidates.append(text)
        missing -= min(context, _n_tokens(host, text.text))
        if missing <= 0:
            break
    read = (text for other in training for text in _trained(host, other, n_trained, context))
    found = without_duplicates([text.text for text in candidates], read)
    if not found.kept:
        raise ValueError(
            f"corpus {spec!r} has no held-out document left ({found.n_exact} exact and {found.n_near} near duplicates "
            "of training text among those read), expected some; give more text"
        )
    kept = [candidates[number] for number in found.kept]
    documents = read_evaluation_documents(host, kept, n_tokens=n_tokens, context_tokens=context)
    return EvaluationText(documents, kept, found, _mean(host, site, documents))


def seen_by(text: EvaluationText, host: HostModel, site: Site) -> EvaluationText:
    """The same documents for another host with the same tokenizer."""
    return replace(text, mean=_mean(host, site, text.documents))


def _mean(host: HostModel, site: Site, documents: list[EvaluationDocument]) -> Float64[Tensor, " d_model"]:
    nothing = constant_sae(torch.zeros(host.d_model)).to(host.device)
    return survey(host, nothing, site, documents).mean


def _trained(host: HostModel, spec: str, n_tokens: int, context: int) -> Iterator[str]:
    """The documents that `training_rows` reads, and at most a few more."""
    missing = n_tokens * (1 + CALIBRATION_SHARE)
    for text in training_texts(read_corpus(spec)):
        yield text
        missing -= min(context, _n_tokens(host, text))
        if missing <= 0:
            return


def _n_tokens(host: HostModel, text: str) -> int:
    return len(host.tokenizer(text, verbose=False)["input_ids"])


def mixed_rows(texts: tuple[tuple[TrainingRows, float], ...]) -> TrainingRows:
    """Rows of several texts in shares that add up to 1: as many together as each has by itself."""
    if len(texts) == 1:  # a copy of all rows would be gigabytes
        return texts[0][0]
    parts = [(_first(rows.train, share), _first(rows.calibration, share)) for rows, share in texts]
    train, calibration = (torch.cat([part[index] for part in parts]) for index in (0, 1))
    return TrainingRows(train, calibration)


def _first(rows: Float[Tensor, "tokens d_model"], share: float) -> Float[Tensor, "some d_model"]:
    return rows[: max(1, round(share * len(rows)))]
