"""One score that is known before it is measured, beside what was measured."""

import math
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Check"]


@dataclass(frozen=True)
class Check:
    """One score of one dictionary.

    Attributes:
        dictionary: Which degenerate dictionary, such as `identity`.
        metric: Which score of it, such as `explained variance`.
        expected: What it must be.
        measured: What the project's metric says; None where it gives no number.
        tolerance: Largest difference that rounding or sampling may cause.
        reason: Why the score is known.
    """

    dictionary: str
    metric: str
    expected: float
    measured: float | None
    tolerance: float
    reason: str

    @property
    def is_ok(self) -> bool:
        """Whether the score is as expected; a missing or non-finite one is not."""
        return self.measured is not None and abs(self.measured - self.expected) <= self.tolerance

    def to_json(self) -> dict[str, Any]:
        """The fields and `ok`; a measured value that is not finite becomes None, which JSON can hold."""
        is_finite = self.measured is not None and math.isfinite(self.measured)
        return asdict(self) | {"measured": self.measured if is_finite else None, "ok": self.is_ok}
