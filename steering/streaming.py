"""New tokens on a terminal as they come."""

from collections.abc import Callable
from typing import Any

from transformers import TextStreamer

from steering.wording import readable_text

__all__ = ["TerminalStreamer"]


class TerminalStreamer(TextStreamer):
    """Writes the continuation of a batch of one, word by word.

    Args:
        tokenizer: The model's.
        write: Is given one piece of text after another, fit for a terminal.
    """

    def __init__(self, tokenizer: Any, write: Callable[[str], None]) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._write = write

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Called by transformers with each new piece."""
        self._write(readable_text(text) + ("\n" if stream_end else ""))
