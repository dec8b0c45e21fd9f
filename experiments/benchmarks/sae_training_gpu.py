"""How long training steps take on a GPU, ours beside others', at the sizes of large dictionaries.

Run it as `python -m experiments.benchmarks.sae_training_gpu`, again and again until nothing is left: what its table has
is not measured again. Correctness comes first; README.md says what the columns are.
"""

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from experiments.benchmarks.result_files import RESULTS, append_row, machine, read_rows
from experiments.benchmarks.step_cases import (
    CASES,
    HEADLINE,
    Case,
    Operation,
    dictionary_with_l0,
    floor_milliseconds,
    least_bytes,
    loss_of,
)
from experiments.benchmarks.step_gate import check_decoders, check_gradients, check_repeatable, check_update
from experiments.benchmarks.step_implementations import IMPLEMENTATIONS
from sae.kernels.dispatch import support_density

__all__ = ["Measurement", "headline", "main", "measure", "rows_left"]

WARM_UP_CALLS = 3
FEWEST_CALLS, MOST_CALLS = 5, 30
SECONDS_A_ROW = 2.0
MINUTES = 9.0
WANTED_MILLISECONDS = 7.7
WANTED_RATIOS = {"sae-lens, bf16 autocast": 4.0, "torch.compile, bf16": 1.8}
GATE_CASES = (Case(1024, 256, 16, d_model=384), Case(512, 96, 8, d_model=3072))
REPEATED_CASE = Case(16_384, 4096, 64)


@dataclass(frozen=True)
class Measurement:
    """One row of the table: what is timed, and at which sizes."""

    operation: Operation
    implementation: str
    case: Case

    @property
    def key(self) -> dict[str, object]:
        """The columns that tell a row from the others."""
        return {"operation": self.operation, "implementation": self.implementation, **asdict(self.case)}


def rows_left(done: Sequence[Mapping[str, str]]) -> Iterator[Measurement]:
    """What the table does not have yet, the case of the headline first."""
    finished = {tuple(row[name] for name in _KEY) for row in done}
    for case in CASES:
        for operation, implementations in IMPLEMENTATIONS.items():
            for implementation in implementations:
                measurement = Measurement(operation, implementation, case)
                if tuple(str(value) for value in measurement.key.values()) not in finished:
                    yield measurement


_KEY = tuple(Measurement("step", "", HEADLINE).key)


def measure(
    measurement: Measurement, *, device: torch.device, stopwatch: Callable[[Callable[[], object]], list[float]]
) -> dict[str, object]:
    """One row; where an implementation cannot run, it says why instead of how long.

    Args:
        measurement: What to time.
        device: Where.
        stopwatch: Milliseconds of each of some calls.
    """
    case, operation = measurement.case, measurement.operation
    density = _density(case, operation, device)
    _free(device)
    milliseconds, note = _timed(measurement, device, stopwatch)
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    _free(device)
    return {
        **measurement.key,
        "density": f"{density:.6f}",
        **_times(milliseconds, case, least_bytes(case, operation, density)),
        "floor_milliseconds": round(floor_milliseconds(case, operation, density), 3),
        "peak_gigabytes": round(peak / 1e9, 2),
        "note": note,
        **machine(),
    }


def _timed(
    measurement: Measurement, device: torch.device, stopwatch: Callable[[Callable[[], object]], list[float]]
) -> tuple[list[float], str]:
    """Milliseconds, or why there are none; what was timed is forgotten."""
    try:
        prepare = IMPLEMENTATIONS[measurement.operation][measurement.implementation]
        return stopwatch(prepare(measurement.case, device)), ""
    except RuntimeError as error:
        return [], str(error).splitlines()[0]


def _times(milliseconds: Sequence[float], case: Case, n_bytes: int) -> dict[str, object]:
    if not milliseconds:
        names = ("milliseconds", "low", "high", "calls", "tokens_per_second", "gigabytes_per_second")
        return dict.fromkeys(names, "")
    median = statistics.median(milliseconds)
    return {
        "milliseconds": round(median, 4),
        "low": round(min(milliseconds), 4),
        "high": round(max(milliseconds), 4),
        "calls": len(milliseconds),
        "tokens_per_second": round(1e3 * case.n_tokens / median),
        "gigabytes_per_second": round(n_bytes / median / 1e6, 1),
    }


def _density(case: Case, operation: Operation, device: torch.device) -> float:
    """Share of tokens * d_sae that are entries: the active ones, and in a step those in the window."""
    if operation == "decode":
        return case.l0 / case.d_sae
    weights, x = dictionary_with_l0(case, device=device)
    return statistics.fmean(support_density(weights, some, loss_of(case)) for some in x[:1024].split(64))


def _free(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        # an error that the device cannot recover from must end the run, not fill the table
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _cuda_milliseconds(action: Callable[[], object]) -> list[float]:
    """After some calls to warm up, as many as fit into two seconds, between events on the device."""
    for _ in range(WARM_UP_CALLS):
        action()
    torch.cuda.synchronize()
    start, found = time.perf_counter(), list[float]()
    while len(found) < FEWEST_CALLS or (len(found) < MOST_CALLS and time.perf_counter() - start < SECONDS_A_ROW):
        before, after = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        before.record()
        action()
        after.record()
        after.synchronize()
        found.append(before.elapsed_time(after))
    return found


def headline(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """What was wanted at 65 thousand features, 4096 tokens and L0 64, and what was found; empty before it was."""
    wanted = {**asdict(HEADLINE), "operation": "step"}
    milliseconds = {
        row["implementation"]: float(row["milliseconds"])
        for row in rows
        if row["milliseconds"] and all(row[name] == str(value) for name, value in wanted.items())
    }
    ours = milliseconds.pop("triton", None)
    if ours is None:
        return []
    return [f"a step takes {ours:.2f} ms, wanted at most {WANTED_MILLISECONDS}"] + [
        f"{milliseconds[name] / ours:.2f} times as fast as {name}, wanted {ratio:g}"
        for name, ratio in WANTED_RATIOS.items()
        if name in milliseconds
    ]


def _gate(device: torch.device) -> None:
    for case in GATE_CASES:
        check_gradients(case, device=device)
        check_update(case, device=device)
        check_decoders(case, device=device)
    check_repeatable(REPEATED_CASE, device=device)


def main() -> None:
    """Gate, then measure what is missing until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "sae_training_gpu.csv", help="The table.")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="No row is begun after this time.")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("there is no CUDA device, so nothing was measured; run this where torch.cuda.is_available()")
    start, device = time.monotonic(), torch.device("cuda")
    try:
        _gate(device)
    except ValueError as error:
        sys.exit(str(error))
    for measurement in rows_left(read_rows(arguments.out)):
        if time.monotonic() - start > 60 * arguments.minutes:
            print("the time is up; run again for the rows that are left")
            break
        row = measure(measurement, device=device, stopwatch=_cuda_milliseconds)
        append_row(arguments.out, row)
        print(", ".join(f"{row[name]}" for name in (*_KEY, "milliseconds", "gigabytes_per_second", "note")), flush=True)
    print(*headline(read_rows(arguments.out)), sep="\n")


if __name__ == "__main__":
    main()
