"""The benchmark of GPU steps, as far as a machine without one goes: rows, gate, and the kernels interpreted."""

import os
import subprocess
import sys

import pytest
import torch

from experiments.benchmarks import sae_training_gpu
from experiments.benchmarks.sae_training_gpu import Measurement, headline, measure, rows_left
from experiments.benchmarks.step_cases import CASES, HEADLINE, Case
from experiments.benchmarks.step_gate import check_gradients, check_repeatable, relative_error
from experiments.benchmarks.step_implementations import IMPLEMENTATIONS

CPU = torch.device("cpu")
TINY = Case(48, 12, 4, d_model=20)
UNDER_THE_INTERPRETER = """
import torch
from experiments.benchmarks.step_cases import Case
from experiments.benchmarks.step_gate import check_decoders, check_gradients, check_repeatable, check_update
from experiments.benchmarks.step_implementations import IMPLEMENTATIONS

case, device = Case(32, 8, 3, d_model=20), torch.device("cpu")
for check in (check_gradients, check_update, check_decoders, check_repeatable):
    check(case, device=device)
for operation, implementations in IMPLEMENTATIONS.items():
    implementations["triton"](case, device)()
"""


def as_text(row):
    return {name: str(value) for name, value in row.items()}


def test_every_implementation_is_measured_at_every_size_the_headline_first():
    rows = list(rows_left([]))

    assert len(rows) == len(set(rows)) == len(CASES) * sum(map(len, IMPLEMENTATIONS.values()))
    assert rows[0] == Measurement("step", "triton", HEADLINE)


def test_a_row_that_exists_is_not_measured_again():
    everything = list(rows_left([]))
    done = [as_text(row.key) for row in everything[:5]]

    assert list(rows_left(done)) == everything[5:]


def test_a_row_says_times_and_bytes():
    calls = []
    row = measure(
        Measurement("decode", "fixed-k gather", TINY),
        device=CPU,
        stopwatch=lambda action: [calls.append(action()) or 2.0, 1.0, 6.0],
    )

    assert len(calls) == 1
    assert (row["milliseconds"], row["low"], row["high"], row["calls"]) == (2.0, 1.0, 6.0, 3)
    assert row["tokens_per_second"] == 6000
    assert float(row["density"]) == pytest.approx(4 / 48, abs=1e-5)
    assert row["note"] == ""


def test_a_row_says_why_there_is_no_time():
    def out_of_memory(action):
        raise torch.OutOfMemoryError("tried to allocate\nmore than there is")

    row = measure(Measurement("decode", "embedding_bag", TINY), device=CPU, stopwatch=out_of_memory)

    assert row["note"] == "tried to allocate"
    assert row["milliseconds"] == row["tokens_per_second"] == ""
    assert list(row) == list(
        measure(Measurement("decode", "embedding_bag", TINY), device=CPU, stopwatch=lambda action: [1.0])
    )


def test_the_headline_needs_our_row_and_compares_with_those_there_are():
    ours, theirs = (as_text(Measurement("step", name, HEADLINE).key) for name in ("triton", "sae-lens, bf16 autocast"))

    assert headline([theirs | {"milliseconds": "30.0"}]) == []
    assert headline([ours | {"milliseconds": "6.0"}, theirs | {"milliseconds": "30.0"}]) == [
        "a step takes 6.00 ms, wanted at most 7.7",
        "5.00 times as fast as sae-lens, bf16 autocast, wanted 4",
    ]


@pytest.mark.parametrize("kernel", ["sparse", "dense"])
def test_right_gradients_pass_the_gate(kernel):
    check_gradients(TINY, device=CPU, kernel=kernel)
    check_repeatable(TINY, device=CPU, kernel=kernel)


def test_wrong_gradients_do_not(monkeypatch):
    from experiments.benchmarks import step_gate

    def off_by_a_percent(*arguments, **settings):
        statistics, gradients = right(*arguments, **settings)
        gradients.threshold.mul_(1.01)
        return statistics, gradients

    right = step_gate.loss_and_gradients
    monkeypatch.setattr(step_gate, "loss_and_gradients", off_by_a_percent)

    with pytest.raises(ValueError, match=r"the gradient of threshold is off by 0.01 .*nothing was timed"):
        check_gradients(TINY, device=CPU, kernel="sparse")


def test_what_is_not_finite_is_not_close():
    assert relative_error(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 2.0])) == pytest.approx(5**-0.5)
    assert not relative_error(torch.tensor([float("nan")]), torch.tensor([1.0])) <= 1


def test_without_a_gpu_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["sae_training_gpu"])

    with pytest.raises(SystemExit, match="there is no CUDA device"):
        sae_training_gpu.main()


def test_gate_and_kernels_under_the_interpreter(request):
    pytest.importorskip("triton", reason="triton is not installed")
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(request.config.rootpath)}
    environment["OMP_NUM_THREADS"] = "1"

    done = subprocess.run(
        [sys.executable, "-c", UNDER_THE_INTERPRETER], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
