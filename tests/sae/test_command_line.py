import json

import click
import pytest
from click.testing import CliRunner

from sae.command_line import FiniteFloat, Program, Stopwatch, emit_json, output_directory, versions


def test_an_output_directory_appears_only_when_its_block_ends(tmp_path):
    target = tmp_path / "runs" / "first"
    with output_directory(target) as directory:
        (directory / "result.txt").write_text("done", encoding="utf-8")
        assert not target.exists()
    assert (target / "result.txt").read_text(encoding="utf-8") == "done"
    assert list(tmp_path.glob("runs/.*")) == []


def test_a_failed_block_leaves_nothing_behind(tmp_path):
    def fail() -> None:
        with output_directory(tmp_path / "out") as directory:
            (directory / "half.txt").write_text("half", encoding="utf-8")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_existing_output_is_replaced_only_by_force(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.txt").touch()
    with (
        pytest.raises(ValueError, match="exists already; give another --out or add --force"),
        output_directory(tmp_path / "out"),
    ):
        pass
    with output_directory(tmp_path / "out", force=True) as directory:
        (directory / "new.txt").touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new.txt"]


def test_output_below_a_file_is_not_writable(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is not writable"), output_directory(tmp_path / "file" / "out"):
        pass


@pytest.mark.parametrize("value", ["nan", "inf", "-0.1", "1.1", "many"])
def test_numbers_are_finite_and_in_range(value):
    with pytest.raises(click.BadParameter):
        FiniteFloat(0.0, 1.0).convert(value, None, None)


def test_json_refuses_what_is_not_finite():
    with pytest.raises(ValueError, match="not JSON compliant"):
        emit_json({"value": float("nan")})


@click.group(cls=Program)
def program() -> None:
    """A program."""


@program.command()
@click.option("--kind")
def fail(kind: str) -> None:
    """Fail."""
    raise {"value": ValueError("the value is 3,\nexpected 4"), "bug": KeyError("x")}[kind]


def test_an_error_is_folded_into_one_line():
    result = CliRunner().invoke(program, ["fail", "--kind", "value"])
    assert (result.exit_code, result.stderr) == (1, "Error: the value is 3, expected 4\n")


def test_a_bug_says_that_it_is_one():
    result = CliRunner().invoke(program, ["fail", "--kind", "bug"])
    assert result.exit_code == 1
    assert "unexpected KeyError" in result.stderr
    assert "--debug" in result.stderr


def test_stages_add_up():
    watch = Stopwatch()
    for _ in range(2):
        with watch.stage("work"):
            pass
    assert watch.seconds.keys() == {"work"}
    assert watch.seconds["work"] >= 0


def test_versions_are_plain_json():
    assert "torch" in json.loads(json.dumps(versions()))
