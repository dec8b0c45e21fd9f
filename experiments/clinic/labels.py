"""How well features detect concepts: F1 of one feature above one threshold, chosen on split A, scored on split B."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from experiments.clinic.labelled_text import LabelledText
from sae.dictionary.autoencoder import SAE
from sae.dictionary.labels import FeatureLabel

__all__ = [
    "ConceptScores",
    "Detection",
    "feature_labels",
    "last_token_detection",
    "mean_f1",
    "score_concepts",
    "score_token_identity",
    "zero_dictionary",
]

THRESHOLDS = (0.0, 0.1, 0.2, 0.35, 0.5)
"""Shares of a feature's largest activation above which it counts as fired."""


@dataclass(frozen=True)
class Detection:
    """Units with pooled feature activations: what detectors are scored on."""

    pooled: Float[Tensor, "units features"]
    truth: Float[Tensor, "units concepts"]
    left_out: Float[Tensor, "units concepts"]
    in_split_b: Bool[Tensor, " units"]

    @classmethod
    def of_mentions(cls, text: LabelledText, feature_acts: Float[Tensor, "tokens features"]) -> "Detection":
        """One unit per mention, scored by its largest activation."""
        return cls(text.pool(feature_acts), text.truth, text.left_out, text.in_split_b)


def last_token_detection(text: LabelledText, feature_acts: Float[Tensor, "tokens features"]) -> Detection:
    """One unit per mention, scored by the activation at its last token only."""
    order = text.unit[text.is_last]
    return Detection(feature_acts[text.is_last], text.truth[order], text.left_out[order], text.in_split_b[order])


@dataclass(frozen=True)
class ConceptScores:
    """For each concept its best feature on split A, and that feature's F1 on both splits."""

    feature_id: Int[Tensor, " concepts"]
    f1_a: Float[Tensor, " concepts"]
    f1_b: Float[Tensor, " concepts"]


def score_concepts(detection: Detection) -> ConceptScores:
    """Choose for each concept the feature and threshold with the best F1 on split A; score the pair on split B.

    F1 = 2 true positives / (fired + positives); 0 where nothing is positive.
    """
    best_a, best_b, feature = _best_over_thresholds(detection, over="features")
    return ConceptScores(feature, best_a, best_b)


def feature_labels(text: LabelledText, feature_acts: Float[Tensor, "tokens features"]) -> dict[int, FeatureLabel]:
    """For each feature the concept that it detects best on split A, with its F1 on split B."""
    best_a, best_b, concept = _best_over_thresholds(Detection.of_mentions(text, feature_acts), over="concepts")
    named = zip(best_a.tolist(), best_b.tolist(), concept.tolist(), strict=True)
    return {
        feature: FeatureLabel(text.concepts[column], round(f1_b, 4))
        for feature, (f1_a, f1_b, column) in enumerate(named)
        if f1_a > 0 and f1_b > 0
    }


def _best_over_thresholds(
    detection: Detection, *, over: str
) -> tuple[Float[Tensor, " kept"], Float[Tensor, " kept"], Int[Tensor, " kept"]]:
    """Best F1 on split A over features (for each concept) or over concepts (for each feature), and its F1 on B."""
    in_b = detection.in_split_b
    largest = detection.pooled[~in_b].amax(dim=0)
    axis = 0 if over == "features" else 1
    per_threshold = []
    for share in THRESHOLDS:
        fired = (detection.pooled > share * largest).float()
        f1_a, f1_b = (_f1(fired[split], detection.truth[split], detection.left_out[split]) for split in (~in_b, in_b))
        top_a, index = f1_a.max(dim=axis)
        top_b = f1_b.gather(axis, index.unsqueeze(axis)).squeeze(axis)
        per_threshold.append((top_a, top_b, index))
    a, b, index = (torch.stack(values) for values in zip(*per_threshold, strict=True))
    best = a.argmax(dim=0, keepdim=True)
    return a.gather(0, best)[0], b.gather(0, best)[0], index.gather(0, best)[0]


def _f1(
    fired: Float[Tensor, "units features"],
    truth: Float[Tensor, "units concepts"],
    left_out: Float[Tensor, "units concepts"],
) -> Float[Tensor, "features concepts"]:
    true_positives = fired.T @ truth
    n_fired = fired.sum(dim=0)[:, None] - fired.T @ left_out
    return 2 * true_positives / (n_fired + truth.sum(dim=0)).clamp(min=1)


def score_token_identity(text: LabelledText) -> ConceptScores:
    """The baseline that knows no concept: for each one the token whose presence detects it best."""
    entries = torch.stack([text.unit, text.token_ids], dim=1).unique(dim=0)
    unit, token = entries[:, 0], entries[:, 1]
    seen, token = token.unique(return_inverse=True)
    f1 = []
    for split in (~text.in_split_b, text.in_split_b):
        here = split[unit]
        true_positives = torch.zeros(len(seen), text.truth.shape[1])
        true_positives.index_add_(0, token[here], text.truth[unit[here]])
        n_fired = torch.zeros_like(true_positives).index_add_(0, token[here], 1 - text.left_out[unit[here]])
        f1.append(2 * true_positives / (n_fired + text.truth[split].sum(dim=0)).clamp(min=1))
    best_a, index = f1[0].max(dim=0)
    return ConceptScores(seen[index], best_a, f1[1].gather(0, index[None])[0])


def zero_dictionary(like: SAE) -> SAE:
    """A dictionary whose features never fire: what every bar must reject."""
    return SAE(
        encoder_rows=torch.zeros_like(like.encoder_rows),
        b_enc=torch.zeros_like(like.b_enc),
        decoder_rows=torch.zeros_like(like.decoder_rows),
        b_dec=torch.zeros_like(like.b_dec),
        threshold=torch.zeros_like(like.threshold),
        site=like.site,
    )


def mean_f1(scores: ConceptScores, columns: list[int]) -> float:
    """Mean F1 on split B over some concepts; 0 where there are none."""
    return scores.f1_b[columns].mean().item() if columns else 0.0
