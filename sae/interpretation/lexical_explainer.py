"""Explanations by literals: a disjunction of n-grams at fixed offsets, grown on explain documents.

1. Of each n-gram before a firing, at each offset, the log-odds against the rest of the text with an informative
   Dirichlet prior (Monroe, Colaresi and Quinn 2008, "Fightin' Words", section 3.5.1) as a z-score.
2. Those with the largest z-scores, and those that detect best alone, are candidates.
3. Greedily the literal joins that raises the F1 over tokens most, less a penalty for each bit that naming it takes.

A lower bound on how well a feature can be explained: a person or a model should do better.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from sae.interpretation.encoded_text import EncodedText
from sae.interpretation.literals import LONGEST_NGRAM, LONGEST_OFFSET, SCOPES, Literal, NgramIndex

__all__ = ["LexicalRule", "explain_lexically", "log_odds"]

MOST_LITERALS = 6
F1_OF_A_BIT = 0.0005
"""F1 that a literal must gain for each bit that it takes: 0.8 points for one of 16 bits."""
PRIOR_TOKENS = 500.0
"""Weight of the prior, in tokens."""
N_BY_LOG_ODDS, N_BY_F1, N_LOOSENED = 48, 16, 12


@dataclass(frozen=True)
class LexicalRule:
    """Predicts that a feature fires wherever one of some literals holds."""

    literals: tuple[Literal, ...]

    def fires(self, text: EncodedText) -> Bool[Tensor, " tokens"]:
        """Whether it says so at each token."""
        held = torch.zeros(len(text.token_ids), dtype=torch.bool)
        for literal in self.literals:
            held |= literal.holds(text)
        return held


def explain_lexically(text: EncodedText, index: NgramIndex, firings: Int64[Tensor, " firings"]) -> LexicalRule | None:
    """The rule of one feature.

    Args:
        text: The documents.
        index: Their n-grams, counted on explain documents.
        firings: The explain tokens on which the feature is active.

    Returns:
        A rule of one literal at least; None where the feature never fires.
    """
    candidates = _candidates(text, index, firings)
    if not candidates:
        return None
    fires = torch.zeros(len(text.token_ids), dtype=torch.bool)
    fires[firings] = True
    held = {literal: (literal.holds(text) & index.counted).nonzero()[:, 0] for literal in candidates}
    return LexicalRule(_grow(held, fires, len(firings), bits=index.bits))


def log_odds(
    hits: Int64[Tensor, " types"], total: Int64[Tensor, " types"], n_firings: int, n_tokens: int
) -> Float64[Tensor, " types"]:
    """z-scores of the log-odds of types among firings against all other tokens.

    Args:
        hits: Firings with each type.
        total: Tokens with it, firings included.
        n_firings: All firings.
        n_tokens: All tokens.
    """
    prior = PRIOR_TOKENS * total / n_tokens
    inside, outside = hits + prior, total - hits + prior
    odds_inside = inside / (n_firings + PRIOR_TOKENS - inside)
    odds_outside = outside / (n_tokens - n_firings + PRIOR_TOKENS - outside).clamp(min=1e-9)
    return ((odds_inside / odds_outside).log() / (1 / inside + 1 / outside).sqrt()).double()


def _candidates(text: EncodedText, index: NgramIndex, firings: Int64[Tensor, " firings"]) -> list[Literal]:
    """Literals worth a try, each once."""
    if len(firings) == 0:
        return []
    found = list(_scored(text, index, firings))
    by_odds = sorted(found, key=lambda each: -each[0])[:N_BY_LOG_ODDS]
    by_f1 = sorted(found, key=lambda each: -each[1])[:N_BY_F1]
    kept = [literal for _, _, literal in (*by_odds, *by_f1)]
    loosened = [Literal(literal.ngram, *SCOPES[-1]) for literal in kept[:N_LOOSENED]]
    return list(dict.fromkeys((*kept, *loosened)))


def _scored(
    text: EncodedText, index: NgramIndex, firings: Int64[Tensor, " firings"]
) -> Iterator[tuple[float, float, Literal]]:
    """The best literals of each length and offset with their z-score and their F1 alone."""
    for n in range(1, LONGEST_NGRAM + 1):
        for offset in range(LONGEST_OFFSET + 1):
            ends, hits, total = index.before(n, offset, firings)
            z = log_odds(hits, total, len(firings), index.n_counted)
            f1 = 2 * hits / (total + len(firings))
            best = torch.cat([z.topk(min(len(z), N_BY_LOG_ODDS)).indices, f1.topk(min(len(f1), N_BY_F1)).indices])
            for place in best.unique().tolist():
                end = int(ends[place])
                ngram = tuple(text.token_ids[end - n + 1 : end + 1].tolist())
                yield float(z[place]), float(f1[place]), Literal(ngram, offset, offset)


def _grow(
    held: dict[Literal, Int64[Tensor, " _"]], fires: Bool[Tensor, " tokens"], n_firings: int, *, bits: dict[int, float]
) -> tuple[Literal, ...]:
    """Literals in the order in which they joined."""
    covered = torch.zeros_like(fires)
    chosen: list[Literal] = []
    n_hits = n_covered = 0
    while len(chosen) < MOST_LITERALS and len(chosen) < len(held):
        before = 2 * n_hits / (n_covered + n_firings)
        gains = {}
        for literal, tokens in held.items():
            new = tokens[~covered[tokens]]
            hits, size = n_hits + int(fires[new].sum()), n_covered + len(new)
            penalty = F1_OF_A_BIT * bits[len(literal.ngram)]
            gains[literal] = (2 * hits / (size + n_firings) - before - penalty, hits, size)
        best = max(gains, key=lambda literal: gains[literal][0])
        gain, n_hits_then, n_covered_then = gains[best]
        if chosen and gain <= 0:
            break
        chosen.append(best)
        covered[held[best]] = True
        n_hits, n_covered = n_hits_then, n_covered_then
    return tuple(chosen)
