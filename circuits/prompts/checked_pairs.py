"""What a model makes of a pairs file before anything is explained: which lines cannot be used, and why."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from circuits.prompts.behaviour import describe_behaviour, wrong_answer
from circuits.prompts.pairs import prefix_lengths
from sae.progress import progress
from sae.prompt_pairs import Pair

if TYPE_CHECKING:
    from sae.host.host import HostModel

__all__ = ["CheckedPairs", "check_pairs"]


@dataclass(frozen=True)
class CheckedPairs:
    """What became of each pair."""

    n_pairs: int
    n_tokens: int
    """Tokens of most prefixes, BOS included."""
    spans: tuple[str, ...]
    unusable: dict[int, str]
    """Why a pair cannot be aligned or scored, by its line: `circuits discover` stops at these."""
    excluded: dict[int, str]
    """Why a pair is left out without `--keep-wrong`, by its line."""

    def to_json(self) -> dict[str, Any]:
        """The findings with their lines, for `--json`."""
        kinds = {"unusable": self.unusable, "excluded": self.excluded}
        return {
            "pairs": self.n_pairs,
            "tokens": self.n_tokens,
            "spans": list(self.spans),
            **{kind: [{"line": line, "reason": why} for line, why in found.items()] for kind, found in kinds.items()},
        }


def check_pairs(host: "HostModel", pairs: Sequence[Pair]) -> CheckedPairs:
    """Look at every pair as `circuits discover --pairs` will, and go on at those that it will not take.

    Args:
        host: The model.
        pairs: At least one, all with the same spans.
    """
    lengths = prefix_lengths(host, pairs)
    n_tokens, _ = Counter(clean for clean, _ in lengths).most_common(1)[0]
    unusable: dict[int, str] = {}
    excluded: dict[int, str] = {}
    for pair, (clean, patch) in zip(progress(pairs, "checking pairs"), lengths, strict=True):
        if clean != patch:
            unusable[pair.line] = f"clean_prefix has {clean} tokens, patch_prefix {patch}; expected equal numbers"
        elif clean != n_tokens and not pair.spans:
            unusable[pair.line] = f"its prefixes have {clean} tokens, most have {n_tokens}; expected that or spans"
        else:
            _look_at_answers(host, pair, unusable, excluded)
    return CheckedPairs(len(pairs), n_tokens, tuple(pairs[0].spans), unusable, excluded)


def _look_at_answers(host: "HostModel", pair: Pair, unusable: dict[int, str], excluded: dict[int, str]) -> None:
    try:
        behaviour = describe_behaviour(
            host, pair.clean_prefix, contrast=pair.patch_prefix, target=pair.clean_answer, foil=pair.patch_answer
        )
    except ValueError as error:
        unusable[pair.line] = str(error)
        return
    if reason := wrong_answer(host, behaviour):
        excluded[pair.line] = reason
