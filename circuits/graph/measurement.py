"""What is measured of a circuit as a whole: the metric's two ends, and how much of the way between them it keeps."""

from dataclasses import asdict, dataclass

from circuits.graph.node import check_finite

__all__ = ["Faithfulness", "MetricValues"]


@dataclass(frozen=True)
class MetricValues:
    """The metric m = score(target) - score(foil) before anything is kept or removed."""

    clean: float
    """m of the prompt."""
    baseline: float
    """m with every node set to its baseline."""
    unit: str = "logits"

    def __post_init__(self) -> None:
        check_finite("metric", [("clean", self.clean), ("baseline", self.baseline)])


@dataclass(frozen=True)
class Faithfulness:
    """Share of m(clean) - m(baseline) that is left when only the circuit's features are kept; 1 is all of it.

    It is not clipped: values below 0 and above 1 occur.
    """

    value: float | None
    """None where it is withheld; `reason` then says why, and all shares are None."""
    low: float | None
    """Lower end of the interval; None where none was computed."""
    high: float | None
    n_nodes: int
    """Features kept; errors are not counted."""
    null: float | None
    """The same for as many random nodes among those that differ from their baseline."""
    share_kept_without_errors: float | None
    """The same with every feature kept and every error set to its baseline: what the SAEs miss is the rest."""
    reason: str | None = None
    """Why it is withheld: m(clean) - m(baseline) is not told apart from 0 over the units."""

    def __post_init__(self) -> None:
        if (self.value is None) != (self.reason is not None):
            raise ValueError(
                f"faithfulness needs a value or the reason why there is none, got {self.value!r} and {self.reason!r}"
            )
        if (self.low is None) != (self.high is None):
            raise ValueError(f"faithfulness needs both ends of its interval or none, got [{self.low}, {self.high}]")
        numbers = [(name, value) for name, value in asdict(self).items() if isinstance(value, float)]
        check_finite("faithfulness", numbers)
