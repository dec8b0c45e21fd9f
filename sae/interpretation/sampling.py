"""The sampling contract: which windows test an explanation.

1. Documents are split into explain and score by their text (`roles`), before any activation is looked at.
2. Positives: of each score document one active window, at random; ranked by activation, as many from each tenth.
3. Negatives: verified inactive over the whole window as it was run in its document, in tiers of rising difficulty; of
   each document one at most within a tier. Random ones are matched to the positives in length.
4. Too few positives or random negatives: refused with the reason, never fewer in silence.

Every window is recorded by document and tokens, so that a score can be computed again.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from sae.interpretation.encoded_text import EncodedText
from sae.interpretation.roles import Role
from sae.interpretation.windows import TextWindows

__all__ = ["BASE_TIER", "DECILES", "POSITIVE", "TIERS", "Example", "Sample", "Sampler"]

DECILES = 10
POSITIVE, BASE_TIER = "positive", "random"
TIERS = (BASE_TIER, "lexical", "neighbour", "negation")
"""Negatives: any text of the corpus; text with the tokens that the feature fires on most; text on which the features
with the nearest decoder rows fire; text that denies what it is active on."""
DRAWS = ("explain", "score", "deciles", *TIERS)
"""What is drawn, each from random numbers of its own."""
N_TOP_TOKENS = 5
POOL = 8
"""Random negatives are picked from so many times as many candidates, by length."""


@dataclass(frozen=True)
class Example:
    """One window that an explanation is tested on.

    Attributes:
        window: Which window of the text.
        document: Which document it is of.
        start: Its first token, counted within the document.
        end: One after its last.
        tier: `POSITIVE`, or one of `TIERS`.
        activation: The feature's largest activation within it; 0 for a negative.
        decile: Of a positive, its tenth by activation: 0 the weakest, 9 the strongest.
    """

    window: int
    document: int
    start: int
    end: int
    tier: str
    activation: float = 0.0
    decile: int | None = None

    @property
    def is_positive(self) -> bool:
        """Whether the feature is active in it."""
        return self.tier == POSITIVE


@dataclass(frozen=True)
class Sample:
    """What one feature is explained and scored on.

    Attributes:
        feature: The feature.
        density: Share of the score windows in which it is active.
        explain: Active windows of explain documents, of each document one.
        examples: The tests; empty where the feature was refused.
        refusal: Why it was refused.
    """

    feature: int
    density: float
    explain: tuple[Example, ...]
    examples: tuple[Example, ...]
    refusal: str | None = None


class Sampler:
    """Draws samples of features from one text.

    Args:
        windows: The text, cut.
        n_positives: Positives wanted of each feature, a multiple of ten; as many random negatives are drawn, and
            half as many of every other tier where there are so many.
        n_explain: Fewest explain documents in which the feature must be active; so many windows are shown.
        seed: Of all draws; each purpose has a stream of its own.

    Raises:
        ValueError: `n_positives` is no multiple of ten.
    """

    def __init__(self, windows: TextWindows, *, n_positives: int = 40, n_explain: int = 20, seed: int = 0) -> None:
        if n_positives <= 0 or n_positives % DECILES:
            raise ValueError(f"{n_positives} positives were asked for, expected a multiple of {DECILES} above 0")
        self.windows = windows
        self.n_positives = n_positives
        self.n_explain = n_explain
        self.seed = seed

    def sample(self, feature: int, neighbours: list[int]) -> Sample:
        """The windows that explain and test a feature.

        Args:
            feature: The feature.
            neighbours: Features that are easily taken for it.
        """
        strongest = self.windows.strongest(feature)
        active = strongest > 0
        in_score, in_explain = self.windows.has_role(Role.SCORE), self.windows.has_role(Role.EXPLAIN)
        density = float(active[in_score].double().mean()) if in_score.any() else 0.0
        shown = self._one_each(active & in_explain, feature, "explain")
        positives = self._one_each(active & in_score, feature, "score")
        inactive = self._one_each(~active & in_score, feature, BASE_TIER)
        refusal = self._refusal(len(shown), len(positives), len(inactive))
        explain = self._examples(shown[: self.n_explain], "explain", strongest)
        if refusal:
            return Sample(feature, density, explain, (), refusal)
        chosen, deciles = self._by_decile(positives, strongest, feature)
        tests = self._examples(chosen, POSITIVE, strongest, deciles)
        tests += self._examples(self._matched(inactive, chosen), BASE_TIER, strongest)
        for tier, candidates in self._hard_tiers(feature, neighbours, ~active).items():
            drawn = self._one_each(candidates, feature, tier)[: self.n_positives // 2]
            tests += self._examples(drawn, tier, strongest)
        return Sample(feature, density, explain, tests)

    def _refusal(self, n_shown: int, n_positives: int, n_inactive: int) -> str | None:
        """Why there is too little to go on."""
        for found, wanted, what in (
            (n_shown, self.n_explain, "active in {} explain documents"),
            (n_positives, self.n_positives, "active in {} score documents"),
            (n_inactive, self.n_positives, "inactive in windows of {} score documents"),
        ):
            if found < wanted:
                return f"{what.format(found)}, expected at least {wanted}"
        return None

    def _one_each(self, candidates: Bool[Tensor, " windows"], feature: int, purpose: str) -> Int64[Tensor, " chosen"]:
        return self.windows.one_a_document(candidates.nonzero()[:, 0], self._generator(feature, purpose))

    def _generator(self, feature: int, purpose: str) -> torch.Generator:
        stream = (self.seed * 1_000_003 + feature) * len(DRAWS) + DRAWS.index(purpose)
        return torch.Generator().manual_seed(stream)

    def _by_decile(
        self, positives: Int64[Tensor, " active"], strongest: Float[Tensor, " windows"], feature: int
    ) -> tuple[Int64[Tensor, " chosen"], list[int]]:
        """As many of each tenth by rank."""
        ranked = positives[strongest[positives].argsort(stable=True)]
        generator = self._generator(feature, "deciles")
        chosen = []
        for decile in range(DECILES):
            tenth = ranked[len(ranked) * decile // DECILES : len(ranked) * (decile + 1) // DECILES]
            chosen.append(tenth[torch.randperm(len(tenth), generator=generator)[: self.n_positives // DECILES]])
        return torch.cat(chosen), [decile for decile, tenth in enumerate(chosen) for _ in tenth]

    def _matched(
        self, candidates: Int64[Tensor, " inactive"], positives: Int64[Tensor, " positives"]
    ) -> Int64[Tensor, " matched"]:
        """For each positive the candidate of the nearest length that no other has taken."""
        pool = candidates[: POOL * len(positives)]
        lengths = self.windows.lengths[pool]
        chosen = []
        for length in self.windows.lengths[positives].tolist():
            nearest = int((lengths - length).abs().argmin())
            chosen.append(int(pool[nearest]))
            lengths[nearest] = torch.iinfo(torch.long).max // 2
        return torch.tensor(chosen, dtype=torch.long)

    def _hard_tiers(
        self, feature: int, neighbours: list[int], inactive: Bool[Tensor, " windows"]
    ) -> dict[str, Bool[Tensor, " windows"]]:
        """Inactive windows of each tier but the random one."""
        windows, in_score = self.windows, self.windows.has_role(Role.SCORE)
        with_top_tokens = windows.hold(torch.isin(windows.text.token_ids, self._top_tokens(feature)))
        near = torch.zeros(len(inactive), dtype=torch.bool)
        for neighbour in neighbours:
            near |= windows.strongest(neighbour) > 0
        return {
            "lexical": inactive & in_score & with_top_tokens,
            "neighbour": inactive & in_score & near,
            "negation": inactive & _flipped_from_active(windows, ~inactive),
        }

    def _top_tokens(self, feature: int) -> Int64[Tensor, " top"]:
        """The token types on which it is active most often in explain documents."""
        text = self.windows.text
        tokens, _ = text.firings(feature)
        fired = text.token_ids[tokens[text.has_role(Role.EXPLAIN)[tokens]]]
        types, counts = fired.unique(return_counts=True)
        return types[counts.argsort(descending=True, stable=True)[:N_TOP_TOKENS]]

    def _examples(
        self,
        chosen: Int64[Tensor, " chosen"],
        tier: str,
        strongest: Float[Tensor, " windows"],
        deciles: list[int] | None = None,
    ) -> tuple[Example, ...]:
        windows = self.windows
        return tuple(
            Example(
                window=window,
                document=(document := int(windows.documents[window])),
                start=int(windows.starts[window]) - (first := int(windows.text.document_offsets[document])),
                end=int(windows.ends[window]) - first,
                tier=tier,
                activation=float(strongest[window]),
                decile=None if deciles is None else deciles[place],
            )
            for place, window in enumerate(chosen.tolist())
        )


def _flipped_from_active(windows: TextWindows, active: Bool[Tensor, " windows"]) -> Bool[Tensor, " windows"]:
    """Windows of a denying document in whose asserting counterpart the feature is active at the same place.

    The counterpart is the document before.
    """
    text: EncodedText = windows.text
    first_windows = torch.searchsorted(windows.documents, torch.arange(len(text.texts)))
    place = torch.arange(len(windows.documents)) - first_windows[windows.documents]
    counterpart = first_windows[(windows.documents - 1).clamp(min=0)] + place
    exists = windows.has_role(Role.FLIPPED) & (windows.documents[counterpart] == windows.documents - 1)
    return exists & active[counterpart]
