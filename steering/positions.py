"""At which tokens an edit acts.

A token that carries no nodes (padding, BOS) is never edited. The names:

    all          every token, of the prompt and generated
    prompt       every token of the prompt
    generated    where new tokens are decided: the prompt's last token and every generated one
    last         the prompt's last token
    span:NAME    the tokens of a named part of the prompt
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from sae.host.language_model import LanguageModel
from sae.host.prompts import conversation_text, prompt_offsets
from sae.host.token_batch import TokenBatch

__all__ = [
    "POSITIONS",
    "SPAN_PREFIX",
    "PromptTokens",
    "check_positions",
    "is_generated",
    "position_mask",
    "read_prompt",
]

POSITIONS = ("all", "prompt", "generated", "last")
SPAN_PREFIX = "span:"
_GENERATED = ("all", "generated")


def check_positions(positions: str) -> None:
    """Make sure that the text names positions.

    Raises:
        ValueError: It does not.
    """
    if positions not in POSITIONS and not (positions.startswith(SPAN_PREFIX) and len(positions) > len(SPAN_PREFIX)):
        raise ValueError(f"unknown positions {positions!r}, expected one of {', '.join(POSITIONS)}, span:NAME")


def is_generated(positions: str) -> bool:
    """Whether an edit at these positions acts on tokens that the model has written."""
    return positions in _GENERATED


@dataclass(frozen=True, eq=False)
class PromptTokens:
    """A prompt as the model is fed it.

    Attributes:
        text: What the user wrote.
        ids: Token ids, BOS and chat template included.
        spans: For each named part the tokens, counted in `ids`, that hold any of its characters.
    """

    text: str
    ids: Int[Tensor, " seq"]
    spans: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def read_prompt(
    host: LanguageModel, text: str, *, spans: Mapping[str, str] | None = None, chat: bool = False
) -> PromptTokens:
    """Tokenise a prompt and find its named parts.

    Args:
        host: Whose tokenizer to use.
        text: The prompt.
        spans: Parts by name; a part that occurs several times is every one of them.
        chat: Wrap the text as a user's turn in the tokenizer's chat template.

    Raises:
        ValueError: The prompt is blank or too long, there is no chat template, or a part does not occur.
    """
    ids = host.tokenise(text, chat=chat)
    if not spans:
        return PromptTokens(text, ids)
    whole = conversation_text(host.tokenizer, [{"role": "user", "content": text}]) if chat else text
    offsets = prompt_offsets(host.tokenizer, whole, is_templated=chat)
    shift = max(0, whole.find(text))
    found = {name: _tokens_of(part, name, text, offsets, shift) for name, part in spans.items()}
    return PromptTokens(text, ids, found)


def _tokens_of(part: str, name: str, text: str, offsets: Sequence[tuple[int, int]], shift: int) -> tuple[int, ...]:
    start, tokens = text.find(part) if part else -1, set()
    while start >= 0:
        first, end = shift + start, shift + start + len(part)
        tokens |= {token for token, (begin, stop) in enumerate(offsets) if begin < end and stop > first}
        start = text.find(part, start + len(part))
    if not tokens:
        raise ValueError(f"span {name!r}, {part!r}, does not occur in the prompt {text!r}, expected a part of it")
    return tuple(sorted(tokens))


def position_mask(
    batch: TokenBatch, row: int, prompt: PromptTokens, positions: str, *, n_new: int = 0
) -> Bool[Tensor, " seq"]:
    """Which tokens of one row an edit acts on.

    Args:
        batch: Rows of prompts, each perhaps continued.
        row: Which of them.
        prompt: What the row begins with.
        positions: Named as above.
        n_new: Tokens of the row after its prompt.

    Raises:
        ValueError: The prompt has no part of that name.
    """
    nodes = batch.node_mask[row].cpu()
    end = len(nodes) - n_new
    chosen = torch.zeros_like(nodes)
    if positions == "all":
        chosen[:] = True
    elif positions == "prompt":
        chosen[:end] = True
    elif positions in ("generated", "last"):
        chosen[end - 1 : None if positions == "generated" else end] = True
    else:
        chosen[_span(prompt, positions) + end - len(prompt.ids)] = True
    return chosen & nodes


def _span(prompt: PromptTokens, positions: str) -> Int[Tensor, " tokens"]:
    name = positions.removeprefix(SPAN_PREFIX)
    if name not in prompt.spans:
        known = ", ".join(prompt.spans) or "none"
        raise ValueError(f"the prompt has no span {name!r}, expected one of: {known}; name it with --span {name}=TEXT")
    return torch.tensor(prompt.spans[name])
