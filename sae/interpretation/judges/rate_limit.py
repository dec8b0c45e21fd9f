"""No more requests and no more tokens in any minute than a server takes."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sae.interpretation.judges.request import JudgeRequest

__all__ = ["Admission", "RateLimit", "estimated_tokens"]

MINUTE = 60.0
CHARACTERS_A_TOKEN = 3
"""Fewer than English has, so that the estimate is rather too high."""
MESSAGE_TOKENS = 8


@dataclass
class Admission:
    """One request that was let through.

    Attributes:
        at: When it may go, in seconds of the limit's clock.
        tokens: What it is counted with.
    """

    at: float
    tokens: int


class RateLimit:
    """Says when each request may go, so that no stretch of 60 seconds holds more than is allowed. Any thread may ask.

    Args:
        requests_per_minute: Most requests; None for any number.
        tokens_per_minute: Most tokens of questions and answers; None for any number.
        clock: Seconds that only ever grow.
        sleep: Waits for so many seconds, or until an event is set, and says whether it is.

    Raises:
        ValueError: A limit is below 1.
    """

    def __init__(
        self,
        *,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        for name, limit in (("requests", requests_per_minute), ("tokens", tokens_per_minute)):
            if limit is not None and limit < 1:
                raise ValueError(f"{name} per minute are {limit}, expected at least 1")
        self._most_requests = requests_per_minute
        self._most_tokens = tokens_per_minute
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._admitted: deque[Admission] = deque()

    def wait(self, tokens: int, stop: threading.Event) -> Admission | None:
        """Take the next free place and wait for it.

        Args:
            tokens: What the request is expected to need.
            stop: Ends the waiting.

        Returns:
            The place; None where the waiting was ended.

        Raises:
            ValueError: One request needs more tokens than a minute has.
        """
        admission = self._admit(tokens)
        while (left := admission.at - self._clock()) > 0:
            if self._sleep(stop, left):
                return None
        return admission

    def correct(self, admission: Admission, tokens: int) -> None:
        """Count a request with what the server says that it needed, for those that come after it."""
        with self._lock:
            admission.tokens = tokens

    def _admit(self, tokens: int) -> Admission:
        if self._most_tokens is not None and tokens > self._most_tokens:
            raise ValueError(
                f"a question needs about {tokens} tokens, but {self._most_tokens} a minute are allowed, expected room "
                "for one question at least; give a higher limit of tokens"
            )
        with self._lock:
            now = self._clock()
            while self._admitted and self._admitted[0].at <= now - MINUTE:
                self._admitted.popleft()
            admission = Admission(self._next_free(now, tokens), tokens)
            self._admitted.append(admission)
        return admission

    def _next_free(self, now: float, tokens: int) -> float:
        """The first moment, not before any request admitted so far, whose last minute has room."""
        at = max([now, *(each.at for each in self._admitted)])
        inside = deque(each for each in self._admitted if each.at > at - MINUTE)
        while inside and not self._has_room(inside, tokens):
            at = max(at, inside.popleft().at + MINUTE)
        return at

    def _has_room(self, inside: deque[Admission], tokens: int) -> bool:
        in_use = sum(each.tokens for each in inside)
        return (self._most_requests is None or len(inside) < self._most_requests) and (
            self._most_tokens is None or in_use + tokens <= self._most_tokens
        )


def estimated_tokens(request: JudgeRequest) -> int:
    """Tokens of a question and of its longest answer, before a server has counted them."""
    asked = sum(len(each.content) // CHARACTERS_A_TOKEN + MESSAGE_TOKENS for each in request.messages)
    return asked + request.max_tokens
