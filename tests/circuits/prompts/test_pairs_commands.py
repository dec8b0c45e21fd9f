"""`circuits pairs`: what is imported is what discover reads, and every line that it would not take is named."""

import json

import pytest
from click.testing import CliRunner
from tiny_models import save_tiny_llama

from circuits.cli import main
from sae.prompt_pairs import read_pairs

GOOD = {"clean_prefix": "w1 w2 w10", "patch_prefix": "w1 w2 w20", "clean_answer": "w8", "patch_answer": "w9"}
THEIRS = {**GOOD, "case": "singular", "difficulty": 3}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_llama(tmp_path_factory.mktemp("model"))


def written(path, *records):
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return path


def run(*arguments):
    return CliRunner().invoke(main, ["pairs", *map(str, arguments)])


def test_what_is_imported_is_read(tmp_path):
    theirs = written(tmp_path / "theirs.json", THEIRS, THEIRS)
    result = run("import", theirs, tmp_path / "ours.jsonl", "--by-word", "--json")
    assert json.loads(result.stdout)["pairs"] == 2
    (first, _) = read_pairs(tmp_path / "ours.jsonl")
    assert (first.template, first.clean_answer, list(first.spans)) == ("singular", "w8", ["word 1", "word 2", "word 3"])


def test_import_overwrites_only_by_force(tmp_path):
    theirs = written(tmp_path / "theirs.json", THEIRS)
    result = run("import", theirs, theirs)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "exists already" in result.stderr
    assert run("import", theirs, theirs, "--force").exit_code == 0
    assert "case" not in json.loads(theirs.read_text())


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "line 1 is not valid JSON"), ('{"context": "a"}', "line 1 has no text 'clean_prefix'"), ("", "is no pair")],
)
def test_a_file_of_something_else_is_one_line(tmp_path, content, message):
    (tmp_path / "theirs.json").write_text(content)
    result = run("import", tmp_path / "theirs.json", tmp_path / "ours.jsonl")
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "ours.jsonl").exists()


@pytest.mark.parametrize("command", [["import", "nothing.json", "out.jsonl"], ["check", "nothing.json"]])
def test_a_missing_file_is_one_line(tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*command)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "pairs file 'nothing.json' cannot be read" in result.stderr


def test_every_line_that_cannot_be_used_is_named(model, tmp_path):
    unequal, longer = {**GOOD, "patch_prefix": "w1 w2"}, {**GOOD, "clean_prefix": "w1 w2 w3 w4"}
    longer["patch_prefix"] = "w1 w2 w3 w5"
    same = {**GOOD, "patch_answer": "w8"}
    path = written(tmp_path / "pairs.jsonl", GOOD, unequal, GOOD, longer, same)
    result = run("check", path, "--model", model, "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "Error: 3 of 5 pairs cannot be used; reword or drop their lines"
    assert (found["pairs"], found["tokens"]) == (5, 4)
    assert [each["line"] for each in found["unusable"]] == [2, 4, 5]
    reasons = [each["reason"] for each in found["unusable"]]
    assert reasons[0] == "clean_prefix has 4 tokens, patch_prefix 3; expected equal numbers"
    assert reasons[1] == "its prefixes have 5 tokens, most have 4; expected that or spans"
    assert reasons[2].startswith("target and foil are both")


def test_what_the_check_excludes_is_what_discover_excludes(model, tmp_path):
    turned = {**GOOD, "clean_answer": "w9", "patch_answer": "w8"}
    path = written(tmp_path / "pairs.jsonl", GOOD, turned)
    found = json.loads(run("check", path, "--model", model, "--json").stdout)
    assert found["unusable"] == []
    options = ["--model", str(model), "--basis", "residual", "--pairs", str(path), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, ["discover", *options, "--top-k", "2", "--nodes-only", "--json"])
    if result.exit_code:
        assert len(found["excluded"]) == 2
        assert all(each["reason"] in result.stderr for each in found["excluded"])
    else:
        assert found["excluded"] == json.loads(result.stdout)["pairs"]["excluded"]


def test_spans_align_pairs_of_several_lengths(model, tmp_path):
    longer = {**GOOD, "clean_prefix": "w1 w2 w3 w10", "patch_prefix": "w1 w2 w3 w20"}
    records = [{**record, "spans": {"first": [0, 2]}} for record in (GOOD, longer)]
    result = run("check", written(tmp_path / "pairs.jsonl", *records), "--model", model)
    assert result.exit_code == 0, result.stderr
    assert "aligned by 1 spans" in result.stdout
