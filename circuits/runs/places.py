"""Where the nodes of several aligned prompts sit: at a token position that all share, or at a named span of tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from circuits.runs.node_set import NodeSet

__all__ = ["Places", "token_places"]

MOST_NAMED_TOKENS = 3


@dataclass(frozen=True, eq=False)
class Places:
    """The places of aligned prompts; those of a lone prompt are its tokens.

    Attributes:
        names: One a place, in reading order.
        of_position: For each prompt the place of each of its positions.
    """

    names: tuple[str, ...]
    of_position: tuple[Int[Tensor, " _"], ...]

    def at_positions(self, prompt: int, nodes: NodeSet) -> NodeSet:
        """Nodes that are at places, as the nodes that they are in one prompt: one for each position of their place."""
        found = {}
        for site, (place, feature_id) in nodes.nodes.items():
            node, position = (place[:, None] == self.of_position[prompt].to(place)[None]).nonzero(as_tuple=True)
            found[site] = (position, feature_id[node])
        return NodeSet(found)


def token_places(tokens: Sequence[Sequence[str]]) -> Places:
    """Each position is a place; where the prompts differ its name lists what they have there.

    Args:
        tokens: Of each prompt; all of one length.

    >>> token_places([["a", " dog"], ["a", " cat"]]).names
    ('a', '{ cat| dog}')
    """
    names = tuple(_joint_name(column) for column in zip(*tokens, strict=True))
    return Places(names, tuple(torch.arange(len(row)) for row in tokens))


def span_places(names: Sequence[str], spans: Sequence[Mapping[str, tuple[int, int]]], lengths: Sequence[int]) -> Places:
    """Named spans of tokens as places, and what lies before, between and after them; the last token stands alone.

    Args:
        names: Of the spans, in the order in which they stand in every prompt.
        spans: For each prompt the first token of each span, and the one after its last.
        lengths: Tokens of each prompt.
    """
    places = [_START, *(place for name in names for place in (name, f"after {name}")), _LAST]
    of_position = []
    for of_prompt, length in zip(spans, lengths, strict=True):
        place = torch.zeros(length, dtype=torch.long)
        for index, name in enumerate(names):
            first, end = of_prompt[name]
            place[first:end] = 2 * index + 1
            place[end:] = 2 * index + 2
        if not any(first < length <= end for first, end in of_prompt.values()):
            place[-1] = len(places) - 1
        of_position.append(place)
    return Places(tuple(places), tuple(of_position))


_START, _LAST = "start", "last token"


def _joint_name(tokens: Sequence[str]) -> str:
    distinct = sorted(set(tokens))
    if len(distinct) == 1:
        return distinct[0]
    listed = distinct[:MOST_NAMED_TOKENS] + (["…"] if len(distinct) > MOST_NAMED_TOKENS else [])
    return f"{{{'|'.join(listed)}}}"
