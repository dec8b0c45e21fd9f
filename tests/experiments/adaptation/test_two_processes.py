"""`accelerate launch` with two processes on a processor: one run with twice the batch, and one that is cut short."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tiny_models import save_tiny_llama

from experiments.adaptation.adapting import adapt
from experiments.adaptation.settings import AdaptationSettings

pytestmark = pytest.mark.slow

STEPS = 300
TOKENS = STEPS * 2 * 4 * 16
ROOT = Path(__file__).resolve().parents[3]
PATIENCE_SECONDS = 120


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Options that name a tiny Llama and a corpus."""
    directory = tmp_path_factory.mktemp("inputs")
    model, corpus = save_tiny_llama(directory / "model"), directory / "domain.jsonl"
    with corpus.open("w") as file:
        for number in range(400):
            words = [f"w{(number + place) % 20 + place % 2 * 20}" for place in range(12)]
            file.write(json.dumps({"text": " ".join(words)}) + "\n")
    return str(model), str(corpus)


def start(inputs, out, *, tokens):
    """Two processes; what they print goes into pipes."""
    model, corpus = inputs
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--no_python"]
    program = [sys.executable, "-c", "from experiments.cli import main; main()"]
    adapting = ["adapt", "--model", model, "--corpus", corpus, "--out", str(out), "--json"]
    sizes = ["--tokens", str(tokens), "--context", "16", "--batch-size", "4", "--checkpoint-every", "5"]
    return subprocess.Popen(
        [sys.executable, *launch, *program, *adapting, *sizes, "--device", "cpu"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )


def finished(process):
    """What it printed, once it has ended well."""
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, err
    return out


def test_two_processes_are_one_with_twice_the_batch(inputs, tmp_path):
    out = finished(start(inputs, tmp_path / "two", tokens=512))
    settings = AdaptationSettings(n_tokens=512, context_length=16, batch_size=8)
    one = adapt(*inputs, tmp_path / "one", settings, device="cpu", checkpoint_every=5)
    assert len(out.splitlines()) == 1
    two = json.loads(out)
    assert [entry["step"] for entry in two["history"]] == [1, 2, 3, 4]
    for ours, theirs in zip(two["history"], one.report["history"], strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
    assert two["perplexity"]["domain"]["after"]["value"] == pytest.approx(
        one.report["perplexity"]["domain"]["after"]["value"], rel=1e-5
    )
    weights = load_file(tmp_path / "two" / "host" / "model.safetensors")
    for name, tensor in load_file(tmp_path / "one" / "host" / "model.safetensors").items():
        torch.testing.assert_close(weights[name], tensor, atol=1e-6, rtol=1e-5)


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory):
    """A run that nobody cut short: its directory and its report."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return out, json.loads(finished(start(inputs, out, tokens=TOKENS)))


@pytest.mark.parametrize("whom", ["the launcher", "one process"])
def test_a_run_that_was_asked_to_end_continues_to_the_same_bits(inputs, whole, tmp_path, whom):
    process = start(inputs, tmp_path / "parts", tokens=TOKENS)
    wait_for(tmp_path / "parts" / "training.safetensors", process)
    asked = process if whom == "the launcher" else psutil.Process(process.pid).children()[-1]
    asked.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode != 0
    assert 5 <= step_of(tmp_path / "parts") < STEPS
    assert not (tmp_path / "parts" / "host").exists()
    settings = AdaptationSettings(n_tokens=TOKENS, context_length=16, batch_size=4)
    with pytest.raises(ValueError, match="was written by 2 processes, not 1; start 2, or give another --out"):
        adapt(*inputs, tmp_path / "parts", settings, device="cpu")
    parts = json.loads(finished(start(inputs, tmp_path / "parts", tokens=TOKENS)))
    assert parts["history"] == whole[1]["history"]
    weights = load_file(tmp_path / "parts" / "host" / "model.safetensors")
    for name, tensor in load_file(whole[0] / "host" / "model.safetensors").items():
        assert tensor.equal(weights[name]), name


def wait_for(path, process):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, f"{path.name} was not written"
        time.sleep(0.02)


def step_of(out):
    with safe_open(out / "training.safetensors", framework="pt") as file:
        return json.loads(file.metadata()["record"])["step"]
