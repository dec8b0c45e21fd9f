"""How a token is shown to a person: on one line, with nothing invisible or dangerous left in it."""

import unicodedata

__all__ = ["readable_token"]

_SHOWN_AS = {"\n": "↵", "\r": "↵", "\t": "⇥"}
_JOINERS = "\u200c\u200d"
"""Invisible, but part of the spelling of several scripts and of many emoji."""


def readable_token(token: str, *, length: int | None = None) -> str:
    r"""The token's text without the spaces around it.

    Line breaks and tabs become arrows, a token of nothing but spaces becomes `␣`, and control characters, which could
    move a terminal's cursor or turn round the text after them, become `\ufffd`.

    Args:
        token: A token, or any other text from a model or a file.
        length: Longest wanted result in characters; what is longer ends in `…`.

    Returns:
        Text of at least one character.

    >>> readable_token(" fever")
    'fever'
    """
    text = "".join(_shown_as(character) for character in token.strip(" ")) or "␣"
    return text if length is None or len(text) <= length else text[: length - 1] + "…"


def _shown_as(character: str) -> str:
    is_hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in _JOINERS
    return _SHOWN_AS.get(character, "\N{REPLACEMENT CHARACTER}" if is_hidden else character)
