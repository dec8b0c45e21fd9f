"""Whatever ends a process, the run goes on from its checkpoint and ends in the same bits."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from training_cases import SITES, batch_topk, jump_relu, small_source

from sae.training.checkpoints import Checkpoint
from sae.training.memory_source import MemorySource
from sae.training.run import CHECKPOINT, METRICS
from sae.training.sae_trainer import TrainingGoal
from sae.training.trainer import train

ROOT = Path(__file__).parents[3]
STEPS = 120
GOALS = [
    TrainingGoal("jump", SITES[0], jump_relu(steps=STEPS, dead_after_tokens=500)),
    TrainingGoal("topk", SITES[1], batch_topk(steps=STEPS)),
]
SLOW_RUN = """
import sys, time, torch
from pathlib import Path
from training_cases import small_source
from test_resume import GOALS
from sae.training.trainer import train

torch.set_num_threads(1)
source = small_source()
draw = source.draw
source.draw = lambda n: (time.sleep(0.02), draw(n))[1]
train(source, GOALS, directory=Path(sys.argv[1]), checkpoint_every=7, resume=True)
"""


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    directory = tmp_path_factory.mktemp("uninterrupted")
    return hashes(train(small_source(), GOALS, directory=directory)), lines(directory)


def hashes(trained):
    return {name: one.sae.content_hash for name, one in trained.items()}


def lines(directory):
    entries = [json.loads(line) for line in (directory / METRICS).read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in entry.items() if key != "clock"} for entry in entries]


def start(directory):
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests", Path(__file__).parent)))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", SLOW_RUN, str(directory)], env=environment, stderr=subprocess.PIPE, text=True
    )


def wait_for_step(directory, step, process):
    """Until the checkpoint is at least at `step`."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        checkpoint = Checkpoint.load(directory / CHECKPOINT)
        if checkpoint is not None and checkpoint.step >= step:
            return
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"no checkpoint at step {step}: {process.communicate()[1]}")


def test_a_killed_run_ends_in_the_same_bits(uninterrupted, tmp_path):
    for step in (7, 30):
        process = start(tmp_path)
        wait_for_step(tmp_path, step, process)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL

    trained = train(small_source(seed=0), GOALS, directory=tmp_path, resume=True)

    assert (hashes(trained), lines(tmp_path)) == uninterrupted


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_the_step_at_hand_and_ends_with_its_code(number, code, tmp_path):
    process = start(tmp_path)
    wait_for_step(tmp_path, 7, process)
    before = Checkpoint.load(tmp_path / CHECKPOINT).step

    process.send_signal(number)

    _, errors = process.communicate()
    assert process.returncode == code
    assert Checkpoint.load(tmp_path / CHECKPOINT).step >= before
    assert "Traceback" not in errors


def test_nothing_to_resume_starts_afresh_and_says_so(uninterrupted, tmp_path, caplog):
    trained = train(small_source(), GOALS, directory=tmp_path, resume=True)

    assert "nothing to resume" in caplog.text
    assert hashes(trained) == uninterrupted[0]


def test_a_finished_run_gives_its_result_again(uninterrupted, tmp_path, monkeypatch):
    first = train(small_source(), GOALS, directory=tmp_path)
    monkeypatch.setattr(MemorySource, "draw", lambda self, n: pytest.fail("a finished run draws nothing"))

    again = train(small_source(), GOALS, directory=tmp_path, resume=True)

    assert hashes(again) == hashes(first) == uninterrupted[0]
    assert again["jump"].record.metrics == first["jump"].record.metrics


def test_a_checkpoint_is_not_overwritten(tmp_path):
    train(small_source(), GOALS[:1], directory=tmp_path)

    with pytest.raises(ValueError, match="holds a checkpoint already; resume it or"):
        train(small_source(), GOALS[:1], directory=tmp_path)


@pytest.mark.parametrize(
    ("goals", "source", "message"),
    [
        (
            [replace(GOALS[0], config=replace(GOALS[0].config, l0=3)), GOALS[1]],
            {},
            r"l0 of jump is 3, but .* was made with 2; resume with the same options",
        ),
        (GOALS[:1], {}, "trains jump, topk, now asked for is jump"),
        ([replace(GOALS[0], site=SITES[1]), GOALS[1]], {}, r"site of jump is 'resid_post\.1'"),
        (GOALS, {"n_tokens": 900}, "trained on other tokens"),
    ],
)
def test_another_configuration_is_refused_by_name(goals, source, message, tmp_path_factory, uninterrupted):
    directory = tmp_path_factory.getbasetemp() / "uninterrupted0"

    with pytest.raises(ValueError, match=message):
        train(small_source(**source), goals, directory=directory, resume=True)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all, but long enough to be read"])
def test_a_damaged_checkpoint_is_refused(content, tmp_path):
    (tmp_path / CHECKPOINT).write_bytes(content)

    with pytest.raises(ValueError, match=r"checkpoint .* is damaged"):
        train(small_source(), GOALS, directory=tmp_path, resume=True)


@pytest.mark.parametrize("share", [0.1, 0.6, 0.999])
def test_a_truncated_checkpoint_is_refused_with_one_line(share, tmp_path):
    train(small_source(), GOALS[:1], directory=tmp_path)
    whole = (tmp_path / CHECKPOINT).read_bytes()
    (tmp_path / CHECKPOINT).write_bytes(whole[: int(share * len(whole))])

    with pytest.raises(ValueError, match=r"checkpoint .* is damaged .*; delete it to train afresh") as caught:
        train(small_source(), GOALS[:1], directory=tmp_path, resume=True)

    assert "\n" not in str(caught.value)


def test_a_checkpoint_is_on_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    events = []
    sync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (events.append("sync"), sync(descriptor)))
    monkeypatch.setattr(os, "replace", lambda *paths: (events.append("rename"), rename(*paths)))

    Checkpoint(1, {}, {"source": {"n": 1}}).save(tmp_path / CHECKPOINT)

    assert events == ["sync", "rename"]


def test_a_checkpoint_that_cannot_be_written_is_one_line_and_leaves_the_one_before(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    checkpoint = Checkpoint(1, {}, {"source": {"n": 1}})
    checkpoint.save(tmp_path / CHECKPOINT)
    monkeypatch.setattr("sae.training.checkpoints.save_file", full)

    with pytest.raises(ValueError, match=r"cannot be written .*No space left.* the one before is kept"):
        replace(checkpoint, step=2).save(tmp_path / CHECKPOINT)

    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]
    assert Checkpoint.load(tmp_path / CHECKPOINT).step == 1
