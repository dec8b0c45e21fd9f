"""Windows as people and judges read them."""

from collections.abc import Mapping, Sequence

from sae.interpretation.windows import TextWindows

__all__ = ["WindowTexts"]


class WindowTexts:
    """Windows as people read them.

    Args:
        windows: The windows.
        tokens: What each token adds to a text.

    Attributes:
        windows: The same.
        tokens: The same.
    """

    def __init__(self, windows: TextWindows, tokens: Mapping[int, str]) -> None:
        self.windows = windows
        self.tokens = tokens

    def plain(self, window: int) -> str:
        """The text of a window."""
        return "".join(self.pieces(window)).strip()

    def pieces(self, window: int) -> list[str]:
        """What each token of a window adds to its text."""
        ids = self.windows.text.token_ids[int(self.windows.starts[window]) : int(self.windows.ends[window])]
        return [self.tokens[token_id] for token_id in ids.tolist()]

    def marked(self, window: int, places: Sequence[int]) -> str:
        """The text with the tokens at some places marked, neighbours together."""
        text, is_open = "", False
        for place, piece in enumerate(self.pieces(window)):
            bare = piece.lstrip(" ")
            space = piece[: len(piece) - len(bare)]
            is_marked = place in places
            closing = ">>" if is_open and not is_marked else ""
            opening = "<<" if is_marked and not is_open else ""
            text += closing + space + opening + bare
            is_open = is_marked
        return (text + (">>" if is_open else "")).strip()
