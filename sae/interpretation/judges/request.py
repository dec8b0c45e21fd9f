"""What a judge is asked and what it says, the same for every backend, so that recorded answers fit all of them."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

__all__ = ["TEMPLATE_VERSION", "JudgeBackend", "JudgeRequest", "JudgeResult", "Message", "canonical_json"]

TEMPLATE_VERSION = 1
"""Of the wording of questions; part of the key that answers are kept under."""


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: str
    """`system`, `user` or `assistant`."""
    content: str


@dataclass(frozen=True)
class JudgeRequest:
    """One question.

    Attributes:
        messages: The conversation that ends in the question.
        choices: The answers that are understood.
        json_schema: Where given, the answer must be JSON of this schema.
        max_tokens: Most tokens of the answer.
        temperature: Of sampling; 0 takes the likeliest.
        seed: For servers that heed one.
        top_logprobs: How many likeliest first tokens to return with their log-probabilities; 0 for none.
    """

    messages: tuple[Message, ...]
    choices: tuple[str, ...] = ("yes", "no")
    json_schema: Mapping[str, Any] | None = None
    max_tokens: int = 16
    temperature: float = 0.0
    seed: int = 0
    top_logprobs: int = 0

    def canonical(self, model: str) -> dict[str, Any]:
        """All that the answer depends on; neither the server's address nor any key is part of it."""
        return {
            "model": model,
            "messages": [{"role": each.role, "content": each.content} for each in self.messages],
            "params": {
                "json_schema": self.json_schema,
                "max_tokens": self.max_tokens,
                "temperature": self.temperature,
                "seed": self.seed,
                "top_logprobs": self.top_logprobs,
            },
            "template_version": TEMPLATE_VERSION,
        }

    def key(self, model: str) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal."""
        return hashlib.sha256(canonical_json(self.canonical(model)).encode()).hexdigest()


@dataclass(frozen=True)
class JudgeResult:
    """One answer, or why there is none.

    Attributes:
        text: What the judge said.
        parsed: The same as JSON, where a schema was asked for and it is JSON.
        yes_logit: log P(yes) - log P(no) of the first token, where the judge tells it.
        finish_reason: Why it stopped, as the server says.
        usage: Tokens, as the server counts them.
        latency_s: Seconds that the answer took, retries and waits included.
        error: Why there is no answer; None where there is one.
        cached: Whether it was known before.
    """

    text: str = ""
    parsed: Any = None
    yes_logit: float | None = None
    finish_reason: str | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    latency_s: float = 0.0
    error: str | None = None
    cached: bool = False


@runtime_checkable
class JudgeBackend(Protocol):
    """Answers questions.

    Attributes:
        name: What reports call it.
        model: Whose answers they are; part of the keys of recorded answers.
    """

    name: str
    model: str

    def complete(self, requests: Sequence[JudgeRequest]) -> Iterator[JudgeResult]:
        """One result a request, in their order."""


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no space, the same for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
