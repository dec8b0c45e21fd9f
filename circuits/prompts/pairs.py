"""Pairs of prompts as a model is fed them: whether their lengths agree, and how they are aligned.

Prefixes of a pair have equal token length. With spans, pairs are aligned span by span; without, token by token, and
then all prefixes have one length.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from circuits.prompts.behaviour import Behaviour
from circuits.runs.places import Places, span_places, token_places
from sae.host.prompts import prompt_offsets
from sae.prompt_pairs import Pair

if TYPE_CHECKING:
    from sae.host.host import HostModel

__all__ = ["align_pairs", "check_lengths", "prefix_lengths"]

MOST_LINES_IN_A_MESSAGE = 5


def check_lengths(host: "HostModel", pairs: Sequence[Pair]) -> None:
    """See that the prefixes can be aligned token by token.

    Raises:
        ValueError: A pair's prefixes differ in length, or the pairs do and have no spans; the lines are named.
    """
    lengths = prefix_lengths(host, pairs)
    unequal = [(pair.line, f"{a} and {b}") for pair, (a, b) in zip(pairs, lengths, strict=True) if a != b]
    if unequal:
        raise ValueError(
            f"clean_prefix and patch_prefix must have equal token length; {_listed(unequal)}; reword or drop them"
        )
    common, _ = Counter(clean for clean, _ in lengths).most_common(1)[0]
    others = [(pair.line, str(clean)) for pair, (clean, _) in zip(pairs, lengths, strict=True) if clean != common]
    if others and not pairs[0].spans:
        raise ValueError(
            f"without spans all prefixes must have one token length, most have {common}; {_listed(others)}; "
            "name spans to align them by, or drop them"
        )


def prefix_lengths(host: "HostModel", pairs: Sequence[Pair]) -> list[tuple[int, int]]:
    """Tokens of each pair's clean and patch prefix, BOS included."""
    return [(len(host.tokenise(pair.clean_prefix)), len(host.tokenise(pair.patch_prefix))) for pair in pairs]


def align_pairs(host: "HostModel", pairs: Sequence[Pair], behaviours: Sequence[Behaviour]) -> Places:
    """Where the nodes of all pairs sit: at the spans that they name, or at their tokens.

    Args:
        host: Its tokenizer must tell the characters of each token.
        pairs: All with the same spans.
        behaviours: Of the pairs.
    """
    if not pairs[0].spans:
        return token_places([behaviour.tokens for behaviour in behaviours])
    spans = [_token_spans(host, pair) for pair in pairs]
    return span_places(list(pairs[0].spans), spans, [len(behaviour.tokens) for behaviour in behaviours])


def _token_spans(host: "HostModel", pair: Pair) -> dict[str, tuple[int, int]]:
    """First token of each span and the one after its last; a token belongs where it begins, leading space aside."""
    offsets = prompt_offsets(host.tokenizer, pair.clean_prefix)
    ends = [end for _, end in offsets]
    found = {}
    for name, (first, end) in pair.spans.items():
        inside = [token for token, (begin, stop) in enumerate(offsets) if begin < end and stop > first]
        after = next((token for token, stop in enumerate(ends) if stop > first), len(ends))
        found[name] = (inside[0], inside[-1] + 1) if inside else (after, after)
    return found


def _listed(lines: Sequence[tuple[int, str]]) -> str:
    shown = [f"line {number} has {what}" for number, what in lines[:MOST_LINES_IN_A_MESSAGE]]
    rest = len(lines) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")
