import pytest
import torch

from circuits.runs.node_set import NodeSet
from circuits.runs.places import span_places, token_places
from sae.host.sites import Site

SITE = Site("resid_post", 0)


def test_tokens_that_differ_share_a_name():
    places = token_places([["<s>", " the", " dog"], ["<s>", " the", " cat"]])
    assert places.names == ("<s>", " the", "{ cat| dog}")
    assert [row.tolist() for row in places.of_position] == [[0, 1, 2], [0, 1, 2]]


def test_many_different_tokens_are_cut_short():
    assert token_places([[name] for name in "edcba"]).names == ("{a|b|c|…}",)


def test_spans_cut_a_prompt_into_what_is_before_in_between_and_last():
    places = span_places(["who", "what"], [{"who": (2, 4), "what": (5, 6)}], [8])
    assert places.names == ("start", "who", "after who", "what", "after what", "last token")
    assert places.of_position[0].tolist() == [0, 0, 1, 1, 2, 3, 4, 5]


def test_a_span_at_the_end_keeps_the_last_token():
    places = span_places(["who"], [{"who": (1, 3)}], [3])
    assert places.of_position[0].tolist() == [0, 1, 1]


def test_an_empty_span_has_no_position():
    places = span_places(["who"], [{"who": (2, 2)}], [4])
    assert places.of_position[0].tolist() == [0, 0, 2, 3]


def test_a_node_at_a_place_is_a_node_at_each_of_its_positions():
    places = span_places(["who"], [{"who": (1, 3)}, {"who": (2, 2)}], [5, 4])
    nodes = NodeSet({SITE: (torch.tensor([1, 3]), torch.tensor([7, 9]))})
    position, feature = places.at_positions(0, nodes).nodes[SITE]
    assert list(zip(position.tolist(), feature.tolist(), strict=True)) == [(1, 7), (2, 7), (4, 9)]
    position, feature = places.at_positions(1, nodes).nodes[SITE]
    assert list(zip(position.tolist(), feature.tolist(), strict=True)) == [(3, 9)]


def test_prompts_of_other_lengths_need_spans():
    with pytest.raises(ValueError, match="argument 2 is longer"):
        token_places([["a"], ["a", "b"]])
