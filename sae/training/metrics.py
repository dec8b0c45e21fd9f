"""What is written down of a run: one record per dictionary every so many steps, in memory and as `metrics.jsonl`."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from sae.written_whole import written_whole

__all__ = ["MetricsLog", "StepMetrics", "ThresholdMetrics"]


@dataclass(frozen=True)
class ThresholdMetrics:
    """How thresholds and their controller do.

    Attributes:
        coefficient: lambda of the sparsity penalty, as a share of the activations' variance: the controller's state.
        window_share: Share of the batch's pre-activations within the window around their threshold.
        median: Median threshold, in units of the activation scale.
        moved: Mean distance of the thresholds from where they began, in the same units.
    """

    coefficient: float
    window_share: float
    median: float
    moved: float


@dataclass(frozen=True)
class StepMetrics:
    """The state of one dictionary's training at one step.

    Attributes:
        step: Steps done.
        tokens: Tokens seen.
        loss: Squared error of a token in units of its variance, and everything else that is minimised.
        fvu: Fraction of the batch's variance left unexplained.
        l0: Mean number of active features of a token in the batch.
        l0_target: What it should have been; of held-out tokens where thresholds are trained, as the batch may be drawn
            by importance.
        dead_share: Share of the features that are dead.
        dense_share: Share of the features that are active on more than a tenth of the batch.
        learning_rate: Rate of the step.
        kernel: How gradients were computed.
        density: Share of tokens * d_sae that took part.
        thresholds: Of trained thresholds.
        kl: Nats that the host's prediction of a token moves by, where the dictionary is trained in its host.
        prefix_fvu: `fvu` of each nested prefix, the whole dictionary last, where it has such.
    """

    step: int
    tokens: int
    loss: float
    fvu: float
    l0: float
    l0_target: float
    dead_share: float
    dense_share: float
    learning_rate: float
    kernel: str
    density: float
    thresholds: ThresholdMetrics | None = None
    kl: float | None = None
    prefix_fvu: tuple[float, ...] | None = None


class MetricsLog(AbstractContextManager["MetricsLog"]):
    """Metrics by dictionary; with a path every record is also a line of that file, there as soon as it is known.

    What does not depend on the clock is the same however often a run was interrupted.

    Args:
        path: The file; None keeps records in memory only.
        until_step: Records of a run that is resumed are kept up to this step, as later ones come again.
    """

    def __init__(self, path: Path | None = None, *, until_step: int = 0) -> None:
        self.of: dict[str, list[StepMetrics]] = {}
        self._stream: TextIO | None = None
        if path is None:
            return
        kept = [(line, entry) for line, entry in _entries(path) if entry["step"] <= until_step]
        with written_whole(path) as part:
            part.write_text("".join(line for line, _ in kept), encoding="utf-8")
        for _, entry in kept:
            self._remember(entry.pop("sae"), _metrics(entry))
        self._stream = path.open("a", encoding="utf-8")

    def write(self, name: str, metrics: StepMetrics, *, seconds: float, tokens_per_second: float) -> None:
        """Add a record of the dictionary `name`, with the wall time since this process began and the present speed."""
        self._remember(name, metrics)
        if self._stream is not None:
            clock = {"seconds": round(seconds, 3), "tokens_per_second": round(tokens_per_second, 1)}
            self._stream.write(json.dumps({"sae": name, **asdict(metrics), "clock": clock}) + "\n")
            self._stream.flush()

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def _remember(self, name: str, metrics: StepMetrics) -> None:
        self.of.setdefault(name, []).append(metrics)


def _entries(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Whole lines of a file; the last one may have been cut off."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            if line.endswith("\n"):
                yield line, json.loads(line)


def _metrics(entry: dict[str, Any]) -> StepMetrics:
    entry = {key: value for key, value in entry.items() if key != "clock"}
    thresholds, prefix_fvu = entry.pop("thresholds"), entry.pop("prefix_fvu", None)
    return StepMetrics(
        **entry,
        thresholds=None if thresholds is None else ThresholdMetrics(**thresholds),
        prefix_fvu=None if prefix_fvu is None else tuple(prefix_fvu),
    )
