"""What the four programs share: one-line errors and exit codes, common options, output directories, provenance.

Nothing here imports torch, so that `--help` answers at once.
"""

import json
import math
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from importlib import metadata
from pathlib import Path
from typing import Any

import click

__all__ = [
    "SCHEMA_VERSION",
    "Decorator",
    "FiniteFloat",
    "Program",
    "Stopwatch",
    "default_output",
    "emit_json",
    "host_options",
    "json_option",
    "model_options",
    "output_directory",
    "output_options",
    "stacked",
    "versions",
]

SCHEMA_VERSION = 1

_REPORTED_PACKAGES = ("domain-circuits", "torch", "transformers", "nnsight", "safetensors")

_CONTEXT = {"help_option_names": ["-h", "--help"], "show_default": True}


class Program(click.Group):
    """A click group whose failures are one line on stderr: exit code 2 for wrong usage, 1 for the rest."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"context_settings": _CONTEXT, **kwargs})

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command and turn its exceptions into `Error: ...`, unless `--debug` was given."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if ctx.meta.get("debug"):
                raise
            raise click.ClickException(_one_line(error)) from error

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Register `cmd`; every command gets `--debug`."""
        cmd.params.append(
            click.Option(
                ["--debug"],
                is_flag=True,
                expose_value=False,
                is_eager=True,
                callback=_remember_debug,
                help="Show the traceback of a failure.",
            )
        )
        cmd.context_settings = {**_CONTEXT, **cmd.context_settings}
        super().add_command(cmd, name)


def _remember_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta["debug"] = True


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, ValueError | OSError) and text:
        return text
    return f"unexpected {type(error).__name__}: {text or 'no message'}; run again with --debug and report it"


class FiniteFloat(click.ParamType):
    """A finite number within a closed range; click's own float types let `nan` pass."""

    name = "number"

    def __init__(self, low: float = -math.inf, high: float = math.inf) -> None:
        self.low, self.high = low, high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse and check one value."""
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number", param, ctx)
        if not math.isfinite(number) or not self.low <= number <= self.high:
            self.fail(f"{value} is not a finite number in [{self.low}, {self.high}]", param, ctx)
        return number


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def stacked(*options: Decorator) -> Decorator:
    """Several options as one decorator, in their order."""
    return lambda command: reduce(lambda decorated, option: option(decorated), reversed(options), command)


json_option: Decorator = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")

host_options: Decorator = stacked(
    click.option("--model", default="clinic", help="Bundled name, directory or Hugging Face id."),
    click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of everything random."),
    click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps."),
    click.option("--dtype", default="float32", help="Precision of the model: float32, bfloat16 or float16."),
)

model_options: Decorator = stacked(
    host_options,
    click.option(
        "--saes", default=None, help="Directory of SAEs or sae-lens release [default: those bundled with the model]."
    ),
    click.option(
        "--sites",
        default=None,
        help="Comma list with globs, e.g. 'resid_post.*,mlp_out.2' [default: every resid_post with an SAE].",
    ),
)

output_options: Decorator = stacked(
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=None,
        help="Output directory [default: runs/<command>-<time>].",
    ),
    click.option("--force", is_flag=True, help="Overwrite existing output."),
)


def default_output(command: str) -> Path:
    """`runs/<command>-<time>`, the directory that results go to where the user names none."""
    return Path("runs") / f"{command}-{time.strftime('%Y%m%d-%H%M%S')}"


@contextmanager
def output_directory(path: Path, *, force: bool = False) -> Iterator[Path]:
    """A directory to write into that takes its final name only when the block ends without an error.

    Args:
        path: The final name.
        force: Whether an existing directory may be replaced.

    Raises:
        ValueError: If `path` exists and `force` is off, or if its parent cannot be written.
    """
    path = Path(path)
    if path.exists() and not force:
        raise ValueError(f"output {str(path)!r} exists already; give another --out or add --force")
    if path.exists() and not path.is_dir():
        raise ValueError(f"output {str(path)!r} is a file, expected a directory; give another --out")
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        part.mkdir(parents=True)
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"output {str(path)!r} is not writable ({reason}); give another --out") from error
    try:
        yield part
        if path.exists():
            shutil.rmtree(path)
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def emit_json(result: Mapping[str, Any]) -> None:
    """Print `result` as one JSON object on stdout; a number that is not finite is an error."""
    click.echo(json.dumps(result, allow_nan=False, ensure_ascii=False))


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in _REPORTED_PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


class Stopwatch:
    """Wall time per stage of a command, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block and add it to stage `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - start, 4)
