"""A harvest that is cut off anywhere opens, says what is missing, and ends with the same bytes."""

import errno
import json
import os
import subprocess
import sys
from itertools import count, islice
from pathlib import Path

import pytest
from safetensors import SafetensorError

from sae.activations.store import buckets, checked_files
from sae.activations.store.store import ActivationStore

ROOT = Path(__file__).parents[4]
KILLED_HARVESTS = """
import json, os, signal, sys
from itertools import count
from sae.activations.store.harvesting import harvest_to_store
from sae.host.host import HostModel
from sae.host.sites import Site

host, (texts, sites, settings, runs) = HostModel.load(sys.argv[1]), json.load(sys.stdin)
for out, last_file in runs.items():
    if os.fork() == 0:
        calls = count()
        os.fsync = lambda _: next(calls) == last_file and os.kill(os.getpid(), signal.SIGKILL)
        harvest_to_store(host, texts, [Site.parse(site) for site in sites], out=out, **settings)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.wait()[1]) != -signal.SIGKILL:
        sys.exit("the harvest was not killed")
"""


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fail_at(monkeypatch, wanted, error):
    """Let the disk fail from the `wanted`-th file on that is flushed."""
    calls = count()

    def flush(descriptor):
        if next(calls) >= wanted:
            raise error

    monkeypatch.setattr(os, "fsync", flush)
    return calls


def test_a_full_disk_at_any_file_loses_nothing(make_store, small_store, tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    n_interrupted = 0
    for wanted in count():
        fail_at(monkeypatch, wanted, full)
        try:
            make_store(tmp_path / "store")
            break
        except ValueError as error:
            n_interrupted += 1
            assert "No space left on device); make room, then harvest again" in str(error)  # noqa: PT017
        if wanted > 0:
            assert (
                "harvest again with the same settings to continue" in ActivationStore.open(tmp_path / "store").missing
            )

    assert n_interrupted > 5
    assert contents(tmp_path / "store") == contents(small_store.path)


def test_a_disk_that_fills_amid_the_rows_loses_nothing(make_store, small_store, tmp_path, monkeypatch):
    append = buckets.Buckets._append
    calls = count()

    def half(self, path, rows):
        if next(calls) == 30:
            append(self, path, rows[: len(rows) // 2 + 1])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(self, path, rows)

    monkeypatch.setattr(buckets.Buckets, "_append", half)
    with pytest.raises(ValueError, match="No space left on device"):
        make_store(tmp_path / "store")
    opened = ActivationStore.open(tmp_path / "store")

    assert "tokens; harvest again" in opened.missing
    make_store(tmp_path / "store")
    assert contents(tmp_path / "store") == contents(small_store.path)


def test_the_full_disk_of_safetensors_is_one_line_too(make_store, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checked_files, "save_file", refuse)
    with pytest.raises(ValueError, match=r"cannot go on writing the store .*No space left on device"):
        make_store(tmp_path / "store")


def test_kill_9_and_again_gives_the_same_bytes(
    make_store, small_store, words_corpus, small_settings, tiny_llama_path, tmp_path
):
    # among the windows, and among the shards
    runs = {str(tmp_path / f"after-{last_file}"): last_file for last_file in (5, 13)}
    sites = [str(site) for site in small_store.sites]
    given = json.dumps([list(islice(words_corpus(), 100)), sites, small_settings, runs])
    command = [sys.executable, "-c", KILLED_HARVESTS, str(tiny_llama_path)]

    subprocess.run(command, input=given, cwd=ROOT, text=True, check=True)

    lines = [ActivationStore.open(out).missing for out in runs]
    assert "of 200 tokens; harvest again" in lines[0]
    assert "of 4 parts still to be written; harvest again" in lines[1]
    for out in runs:
        make_store(out)
        assert contents(Path(out)) == contents(small_store.path)


@pytest.mark.parametrize(
    "name", ["resid_post.1-00001.safetensors", "tokens-held-out.safetensors", "statistics.safetensors"]
)
@pytest.mark.usefixtures("no_flush")
def test_a_lost_file_is_made_again(make_store, small_store, store_copy, name, caplog):
    (store_copy / name).unlink()
    assert f"lacks {name}" in ActivationStore.open(store_copy).missing

    make_store(store_copy)

    assert contents(store_copy) == contents(small_store.path)


@pytest.mark.usefixtures("no_flush")
def test_a_lost_file_of_a_weighted_store_is_made_again(make_store, tmp_path, caplog):
    store = make_store(tmp_path / "store", importance=True)
    before = contents(store.path)
    (store.path / "embed-00000.safetensors").write_bytes(b"cut short")

    make_store(tmp_path / "store", importance=True)

    assert contents(store.path) == before


def test_another_corpus_cannot_continue(make_store, words_corpus, tmp_path, monkeypatch):
    fail_at(monkeypatch, 5, OSError(errno.ENOSPC, "full"))
    with pytest.raises(ValueError, match="full"):
        make_store(tmp_path / "store")
    monkeypatch.undo()

    with pytest.raises(ValueError, match="of the corpus are not those that were read before"):
        make_store(tmp_path / "store", texts=words_corpus(seed=1))


def test_scratch_that_a_kill_left_in_a_complete_store_is_cleared_away(make_store, small_store, store_copy):
    (store_copy / "harvest").mkdir()
    (store_copy / "harvest" / "embed-00000.rows").write_bytes(b"left over")
    (store_copy / ".manifest.part-123.json").write_text("{")

    make_store(store_copy)

    assert contents(store_copy) == contents(small_store.path)
