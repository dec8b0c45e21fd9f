import pytest
import torch
from tiny_models import tiny_llama

from sae.annotated_text import AnnotatedText, TextSpan
from sae.localisation.labelled_tokens import is_in_split_b, label_tokens

LONG = AnnotatedText("w1 w2 w3 w4", (TextSpan(3, 8, "a"), TextSpan(3, 8, "b"), TextSpan(6, 11, "b")))
SHORT = AnnotatedText("w5 w6", (TextSpan(1, 2, "a"),))


def test_tokens_that_overlap_a_span_are_gold(tiny_host):
    found = label_tokens(tiny_host, [LONG, SHORT, AnnotatedText("  ")])
    assert [row.tolist() for row in found.rows] == [[1, 9, 10], [1, 5, 6, 7, 8]]
    assert found.token_ids.tolist() == [9, 10, 5, 6, 7, 8]
    assert found.documents.tolist() == [0, 0, 1, 1, 1, 1]
    assert found.concepts == ("a", "b")
    assert found.mention_documents.tolist() == [0, 1, 1]
    assert found.mention_concepts.tolist() == [[True, False], [True, True], [False, True]]
    gold = found.gold(found.mention_concepts)
    assert gold[:, 0].tolist() == [True, False, False, True, True, False]
    assert gold[:, 1].tolist() == [False, False, False, True, True, True]


def test_only_some_concepts(tiny_host):
    found = label_tokens(tiny_host, [LONG, SHORT], concepts=["b"])
    assert (found.concepts, len(found.mention_concepts)) == (("b",), 2)


def test_what_is_beyond_the_context_is_cut_off():
    host = tiny_llama(max_position_embeddings=3)
    found = label_tokens(host, [LONG])
    assert found.token_ids.tolist() == [5, 6]
    assert found.gold(found.mention_concepts).sum(0).tolist() == [1, 1]


def test_equal_texts_are_in_one_half():
    halves = torch.tensor([is_in_split_b(f"text {number}") for number in range(400)])
    assert is_in_split_b("text 7") == halves[7]
    assert 0.4 < halves.double().mean() < 0.6


def test_nothing_to_label(tiny_host):
    with pytest.raises(ValueError, match="hold no text"):
        label_tokens(tiny_host, [AnnotatedText(" ")])
