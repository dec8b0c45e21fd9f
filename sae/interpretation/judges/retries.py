"""How long to wait before a request is sent again."""

import math
import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

__all__ = ["Retries", "is_worth_repeating", "retry_after_seconds"]

REPEATED = (408, 409, 429)


@dataclass(frozen=True)
class Retries:
    """Exponential back-off with jitter.

    Attributes:
        attempts: Most times that a request is sent.
        first_s: Longest wait before the second attempt; it doubles with each.
        longest_s: Longest wait, also where the server asks for more.
    """

    attempts: int = 6
    first_s: float = 1.0
    longest_s: float = 120.0

    def wait_s(self, attempt: int, retry_after_s: float | None = None) -> float:
        """Seconds to wait after a failed attempt, counted from 0.

        As long as the server asks for, otherwise at random between half of the back-off and all of it.
        """
        if retry_after_s is not None:
            return min(self.longest_s, retry_after_s)
        return min(self.longest_s, self.first_s * 2**attempt) * random.uniform(0.5, 1.0)


def is_worth_repeating(status: int) -> bool:
    """Whether the same request may do better later."""
    return status in REPEATED or 500 <= status <= 599


def retry_after_seconds(header: str | None, *, now: float | None = None) -> float | None:
    """What a Retry-After header asks for, in seconds; None where there is none or it cannot be read.

    Args:
        header: Seconds or a date, as in RFC 9110, section 10.2.3.
        now: The time, in seconds since 1970.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - (time.time() if now is None else now)
        except (ValueError, TypeError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
