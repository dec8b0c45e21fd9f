"""How a token is shown to a person: on one line, with nothing invisible or dangerous left in it."""

import unicodedata
from collections.abc import Iterable
from typing import Any

__all__ = ["readable_token", "token_texts", "visible_text"]

_SHOWN_AS = {"\n": "↵", "\r": "↵", "\t": "⇥"}
_JOINERS = "\u200c\u200d"
"""Invisible, but part of the spelling of several scripts and of many emoji."""
_SENTENCEPIECE_SPACE = "\u2581"


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
    text = visible_text(token.strip(" ")) or "␣"
    return text if length is None or len(text) <= length else text[: length - 1] + "…"


def visible_text(text: str) -> str:
    """The same text with line breaks and tabs as arrows and control characters replaced; spaces stay."""
    return "".join(_shown_as(character) for character in text)


def token_texts(tokenizer: Any, token_ids: Iterable[int]) -> dict[int, str]:
    """What each token adds to a text, its leading space included, as `visible_text` shows it."""
    return {token_id: visible_text(_decoded(tokenizer, token_id)) for token_id in set(token_ids)}


def _decoded(tokenizer: Any, token_id: int) -> str:
    """The token's text; SentencePiece tokenizers drop the space when they decode a single token."""
    text: str = tokenizer.decode([token_id])
    piece = tokenizer.convert_ids_to_tokens(token_id)
    has_lost_its_space = isinstance(piece, str) and piece.startswith(_SENTENCEPIECE_SPACE) and text[:1] != " "
    return f" {text}" if has_lost_its_space else text or f"<{token_id}>"


def _shown_as(character: str) -> str:
    is_hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in _JOINERS
    return _SHOWN_AS.get(character, "\N{REPLACEMENT CHARACTER}" if is_hidden else character)
