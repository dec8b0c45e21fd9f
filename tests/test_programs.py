"""What all four programs promise: help, version, exit codes, one-line errors."""

import importlib
import json
import subprocess
import sys
import time

import click
import pytest
from click.testing import CliRunner

PROGRAMS = ("circuits", "sae", "steering", "experiments")


def program(name: str) -> click.Group:
    return importlib.import_module(f"{name}.cli").main


def commands(group: click.Group, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], click.Command]]:
    """Every command below a group with its path."""
    found = []
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found += commands(command, (*path, name))
        else:
            found.append(((*path, name), command))
    return found


ALL_COMMANDS = [found for name in PROGRAMS for found in commands(program(name), (name,))]


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_and_version(name):
    runner = CliRunner()
    for flag in ("--help", "-h"):
        result = runner.invoke(program(name), [flag])
        assert result.exit_code == 0
        assert "Usage:" in result.stdout
    assert "version" in runner.invoke(program(name), ["--version"]).stdout


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_imports_no_torch(name):
    code = f"import sys, {name}.cli; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("path", "command"), ALL_COMMANDS, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_command_explains_itself(path, command):
    result = CliRunner().invoke(program(path[0]), [*path[1:], "--help"])
    assert result.exit_code == 0
    assert "Example:" in result.stdout
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, f"{' '.join(path)} {parameter.name} has no help"


def test_wrong_usage_exits_with_2():
    result = CliRunner().invoke(program("circuits"), ["discover"])
    assert result.exit_code == 2
    assert "give either --prompt or --pairs" in result.stderr


def test_a_failure_is_one_line_and_exits_with_1(tmp_path):
    result = CliRunner().invoke(program("circuits"), ["show", str(tmp_path / "nothing")])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


def test_debug_shows_the_traceback(tmp_path):
    result = CliRunner().invoke(program("circuits"), ["show", str(tmp_path / "nothing"), "--debug"])
    assert isinstance(result.exception, ValueError)


def test_experiments_list_is_one_json_object():
    result = CliRunner().invoke(program("experiments"), ["list", "--json"])
    assert "clinic" in [entry["name"] for entry in json.loads(result.stdout)["experiments"]]


@pytest.mark.slow
def test_help_answers_at_once():
    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", "from circuits.cli import main; main(['--help'])"], check=True, capture_output=True
        )
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.3
