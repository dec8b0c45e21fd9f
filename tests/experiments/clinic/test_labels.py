"""Scoring of features as detectors, on hand-made units with readable answers."""

import pytest
import torch

from experiments.clinic.document import Document, Span
from experiments.clinic.labelled_text import LabelledText, concepts_of_span
from experiments.clinic.labels import (
    Detection,
    feature_labels,
    last_token_detection,
    mean_f1,
    score_concepts,
    score_token_identity,
    zero_dictionary,
)
from sae.dictionary.autoencoder import SAE
from sae.dictionary.random_directions import random_dictionary

# Eight tokens, the middle two of each half form one mention of "cold"; two documents, one per split.
UNIT = torch.tensor([0, 1, 1, 2, 3, 4, 4, 5])
TRUTH = torch.tensor([[0.0], [1.0], [0.0], [0.0], [1.0], [0.0]])
LEFT_OUT = torch.tensor([[0.0], [0.0], [1.0], [0.0], [0.0], [1.0]])
SPLIT = torch.tensor([False, False, False, True, True, True])
IS_LAST = torch.tensor([True, False, True, True, True, False, True, True])
TOKENS = torch.tensor([5, 6, 7, 5, 5, 6, 7, 8])


def labelled() -> LabelledText:
    return LabelledText(
        rows=(),
        token_ids=TOKENS,
        unit=UNIT,
        is_last=IS_LAST,
        concepts=("finding:cold",),
        truth=TRUTH,
        left_out=LEFT_OUT,
        in_split_b=SPLIT,
        is_answer=torch.zeros(8, dtype=torch.bool),
    )


def acts(*features: list[float]) -> torch.Tensor:
    return torch.tensor(features, dtype=torch.float32).T


def test_a_mention_counts_once_by_its_largest_activation():
    pooled = labelled().pool(acts([0, 2, 3, 0, 0, 4, 1, 0]))
    assert pooled[:, 0].tolist() == [0, 3, 0, 0, 4, 0]


def test_a_feature_on_the_first_word_is_perfect_when_pooled_and_useless_on_the_last_token():
    feature_acts = acts([0, 2.0, 0, 0, 0, 2.0, 0, 0])
    assert score_concepts(Detection.of_mentions(labelled(), feature_acts)).f1_b.tolist() == [1.0]
    assert score_concepts(last_token_detection(labelled(), feature_acts)).f1_b.tolist() == [0.0]


def test_the_feature_is_chosen_on_a_and_scored_on_b():
    good_on_a = [0, 1.0, 0, 0, 1.0, 0, 0, 1.0]
    good_on_b = [1.0, 0, 0, 1.0, 0, 1.0, 0, 0]
    scores = score_concepts(Detection.of_mentions(labelled(), acts(good_on_a, good_on_b)))
    assert scores.feature_id.tolist() == [0]
    assert scores.f1_a.tolist() == [1.0]
    assert scores.f1_b.tolist() == [0.0]


def test_half_right_gives_two_thirds():
    fires_twice = [1.0, 1.0, 0, 0.0, 1.0, 1.0, 0, 0.0]
    scores = score_concepts(Detection.of_mentions(labelled(), acts(fires_twice)))
    assert scores.f1_b.item() == pytest.approx(2 / 3)


def test_a_unit_that_is_left_out_is_neither_hit_nor_miss():
    fires_there = [0, 1.0, 0, 1.0, 0, 1.0, 0, 1.0]
    assert score_concepts(Detection.of_mentions(labelled(), acts(fires_there))).f1_b.item() == 1.0


def test_features_that_never_fire_score_nothing():
    scores = score_concepts(Detection.of_mentions(labelled(), torch.zeros(8, 3)))
    assert scores.f1_a.tolist() == [0.0]
    assert feature_labels(labelled(), torch.zeros(8, 3)) == {}


def test_a_feature_is_named_for_its_best_concept():
    labels = feature_labels(labelled(), acts([0, 2.0, 0, 0, 0, 2.0, 0, 0], [1.0] * 8))
    assert labels[0].text == "finding:cold"
    assert labels[0].f1 == 1.0
    assert labels[1].f1 < 1.0


def test_token_identity_is_the_best_single_token():
    scores = score_token_identity(labelled())
    assert scores.feature_id.item() in (6, 7)
    assert scores.f1_b.tolist() == [1.0]


def test_mean_f1_of_nothing_is_zero():
    scores = score_concepts(Detection.of_mentions(labelled(), torch.zeros(8, 1)))
    assert mean_f1(scores, []) == 0.0


@pytest.mark.parametrize(
    ("concept", "text", "expected"),
    [
        ("pos:fever", "pyrexia", ["pos:fever", "finding:fever"]),
        ("neg:fever", "a temperature of 36.9", ["neg:fever", "measure:fever"]),
        ("dx:gout", "gout", ["dx:gout"]),
    ],
)
def test_a_mention_counts_for_its_polarity_and_for_its_finding(concept, text, expected):
    assert concepts_of_span(concept, text) == expected


def example_sae() -> SAE:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(40, 8, generator=generator)
    return SAE(
        encoder_rows=rows, b_enc=torch.zeros(40), decoder_rows=rows, b_dec=torch.zeros(8), threshold=torch.ones(40)
    )


def test_a_random_dictionary_has_the_wanted_l0():
    x = torch.randn(3000, 8, generator=torch.Generator().manual_seed(1)) + 3
    null = random_dictionary(x, example_sae(), l0=4.0)
    assert (null.encode(x) > 0).sum(1).float().mean().item() == pytest.approx(4.0, rel=0.15)


def test_a_zero_dictionary_never_fires():
    x = torch.randn(10, 8)
    null = zero_dictionary(example_sae())
    assert not null.encode(x).any()
    assert not null.decode(null.encode(x)).any()


def test_documents_carry_spans_over_to_units():
    from tiny_models import tiny_llama

    from experiments.clinic import labelled_text

    host = tiny_llama()
    documents = [
        Document("w1 w2 w3", "vignette", (Span(3, 8, "pos:cold"),)),
        Document("w4 w5 w6", "vignette", (Span(3, 5, "neg:cold"),)),
    ] * labelled_text.MIN_MENTIONS
    text = labelled_text.label_documents(host, documents)
    column = text.concepts.index("measure:cold")  # the words of the tiny tokenizer have digits
    first = text.unit[:3]
    assert first[1] == first[2] != first[0]
    assert text.truth[first[1], column] == 1
    assert text.truth[first[0], column] == 0
    assert text.token_ids[:3].tolist() == host.tokenise("w1 w2 w3")[1:].tolist()
    assert "pos:cold" not in text.concepts, "it occurs on one split only"
