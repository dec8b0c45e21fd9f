"""A cache looked at, passed on and pruned: as functions and as `sae judge-cache`."""

import json
import sqlite3

import pytest
from click.testing import CliRunner

from sae.cli import main
from sae.interpretation.judges.answers import ask
from sae.interpretation.judges.cache import AnswerCache
from sae.interpretation.judges.cache_contents import cached_models, export_answers, prune_answers
from sae.interpretation.judges.replay import ReplayJudge
from sae.interpretation.judges.request import JudgeRequest, JudgeResult, Message


def question(number):
    return JudgeRequest((Message("user", f"Ist ä wahr, {number}?"),))


@pytest.fixture
def path(tmp_path):
    """Four answers of one model, two of another, of which one is two days old."""
    path = tmp_path / "judge.sqlite"
    with AnswerCache(path) as cache:
        for number in range(4):
            cache.put("big", question(number), JudgeResult("yes" if number % 2 else "no", yes_logit=number - 1.5))
        for number in range(2):
            cache.put("small", question(number), JudgeResult("no", usage={"prompt_tokens": 3}))
    with sqlite3.connect(path) as database:
        key = question(0).key("small")
        database.execute("update answers set created = datetime('now', '-2 days') where key = ?", (key,))
    database.close()
    return path


def run(*args):
    return CliRunner().invoke(main, ["judge-cache", *map(str, args)])


def test_what_there_is_by_model(path):
    big, small = cached_models(path)
    assert (big.model, big.answers, small.model, small.answers) == ("big", 4, "small", 2)
    with sqlite3.connect(path) as database:
        rows = database.execute("select request, answer from answers where model = 'big'").fetchall()
    database.close()
    assert big.bytes == sum(len(each.encode()) for row in rows for each in row)
    assert small.first < small.last


def test_exported_answers_replay_as_the_cache_gave_them(path, tmp_path):
    out = tmp_path / "answers.jsonl"
    assert export_answers(path, out, model="big") == ("big", 4)
    replayed = ask(ReplayJudge(out), [question(number) for number in range(5)])
    with AnswerCache(path) as cache:
        kept = [cache.get("big", question(number)) for number in range(4)]
    assert [each.results[0] for each in replayed[:4]] == kept
    assert replayed[4].error == "not among the recorded answers"
    assert len({json.loads(line)["key"] for line in out.read_text(encoding="utf-8").splitlines()}) == 4


@pytest.mark.parametrize(
    ("which", "n", "left"),
    [
        ({"model": "big"}, 4, {"small": 2}),
        ({"older_than_days": 1.0}, 1, {"big": 4, "small": 1}),
        ({"older_than_days": 3.0}, 0, {"big": 4, "small": 2}),
        ({"model": "big", "older_than_days": 1.0}, 0, {"big": 4, "small": 2}),
        ({"model": "small", "older_than_days": 1.0}, 1, {"big": 4, "small": 1}),
    ],
)
def test_pruning_deletes_what_was_named_and_nothing_else(path, which, n, left):
    assert prune_answers(path, **which, dry_run=True) == n
    assert sum(each.answers for each in cached_models(path)) == 6
    assert prune_answers(path, **which) == n
    assert {each.model: each.answers for each in cached_models(path)} == left


def test_pruning_gives_space_back(path):
    with AnswerCache(path) as cache:
        for number in range(300):
            cache.put("large", question(number), JudgeResult("yes " * 200))
    before = path.stat().st_size
    prune_answers(path, model="large")
    assert path.stat().st_size < before / 4


def test_the_commands(path, tmp_path):
    shown = run("stats", "--cache", path)
    assert shown.exit_code == 0, shown.stderr
    assert all(each in shown.stdout for each in ("big", "small", "judge.sqlite: "))
    counted = json.loads(run("stats", "--cache", path, "--json").stdout)
    assert [each["answers"] for each in counted["models"]] == [4, 2]

    out = tmp_path / "out.jsonl"
    assert f"replay:{out}" in run("export", "--cache", path, "--model", "small", "--out", out).stdout
    assert run("export", "--cache", path, "--model", "small", "--out", out).stderr.startswith("Error: output")
    assert json.loads(run("prune", "--cache", path, "--model", "big", "--json").stdout)["answers"] == 4
    assert "1 answers would be deleted" in run("prune", "--cache", path, "--older-than", "1", "--dry-run").stdout
    assert json.loads(run("export", "--cache", path, "--out", out, "--force", "--json").stdout)["model"] == "small"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["prune"], "nothing says which answers to delete, expected a model, an age in days, or both"),
        (["prune", "--model", "huge"], "model is 'huge', but"),
        (["export", "--out", "{tmp}/x.jsonl"], "holds answers of big, small; give one of these as --model"),
    ],
)
def test_what_cannot_be_done_is_one_line(path, tmp_path, args, message):
    result = run(*(each.format(tmp=tmp_path) for each in args), "--cache", path)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("content", [None, b"no database, and longer than a header of one would be" * 4, b""])
def test_a_file_that_is_no_cache_is_one_line(tmp_path, content):
    path = tmp_path / "other"
    if content is not None:
        path.write_bytes(content)
    result = run("stats", "--cache", path)
    assert result.exit_code == 1
    assert str(path) in result.stderr.replace("\n", "")
    assert "judge cache" in result.stderr
