"""Documents cut into windows of nearly equal length: the pieces of text that are shown, and counted as active or not.

The cuts depend on the lengths of the documents only, so active and inactive windows sit at the same places. What fires
in a window was computed with all of the document before it; what is shown is the window alone.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from sae.interpretation.encoded_text import EncodedText
from sae.interpretation.roles import Role

__all__ = ["TextWindows", "cut_windows"]


@dataclass(frozen=True, eq=False)
class TextWindows:
    """All windows of a text.

    Attributes:
        text: The documents.
        starts: First token of each window.
        ends: One after its last token.
        documents: The document that each window is of.
        of_token: The window of each token.
    """

    text: EncodedText
    starts: Int64[Tensor, " windows"]
    ends: Int64[Tensor, " windows"]
    documents: Int64[Tensor, " windows"]
    of_token: Int64[Tensor, " tokens"]

    @property
    def lengths(self) -> Int64[Tensor, " windows"]:
        """Tokens of each window."""
        return self.ends - self.starts

    def has_role(self, role: Role) -> Bool[Tensor, " windows"]:
        """Whether each window is of a document with a role."""
        return (self.text.roles == role)[self.documents]

    def strongest(self, feature: int) -> Float[Tensor, " windows"]:
        """Largest activation of a feature in each window; 0 where it is not active."""
        tokens, values = self.text.firings(feature)
        return torch.zeros(len(self.starts)).scatter_reduce_(0, self.of_token[tokens], values, "amax")

    def hold(self, tokens: Bool[Tensor, " tokens"]) -> Bool[Tensor, " windows"]:
        """Whether each window holds one of some tokens."""
        held = torch.zeros(len(self.starts), dtype=torch.bool)
        held[self.of_token[tokens]] = True
        return held

    def one_a_document(
        self, candidates: Int64[Tensor, " candidates"], generator: torch.Generator
    ) -> Int64[Tensor, " chosen"]:
        """Some windows in random order, of each document only the first."""
        shuffled = candidates[torch.randperm(len(candidates), generator=generator)]
        documents = self.documents[shuffled]
        order = documents.argsort(stable=True)
        is_first = torch.ones(len(order), dtype=torch.bool)
        is_first[1:] = documents[order][1:] != documents[order][:-1]
        return shuffled[order[is_first].sort().values]


def cut_windows(text: EncodedText, *, width: int) -> TextWindows:
    """Cut every document into the fewest windows of at most `width` tokens, whose lengths differ by 1 at most."""
    lengths = text.document_offsets.diff()
    counts = -(-lengths // width)
    documents = torch.arange(len(lengths)).repeat_interleave(counts)
    place = torch.arange(len(documents)) - torch.nn.functional.pad(counts.cumsum(0), (1, 0))[documents]
    starts = text.document_offsets[documents] + place * lengths[documents] // counts[documents]
    ends = text.document_offsets[documents] + (place + 1) * lengths[documents] // counts[documents]
    of_token = torch.arange(len(starts)).repeat_interleave(ends - starts)
    return TextWindows(text, starts, ends, documents, of_token)
