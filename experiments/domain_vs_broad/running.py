"""Runs the comparison: trains what is missing, evaluates it, and writes the report.

Everything lies under one directory of work, a cell in a directory of its own; what is there is not done again.
"""

import gc
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.domain_vs_broad.arms import BROAD, DOMAIN, TRAINED_NULLS
from experiments.domain_vs_broad.cell_evaluation import TEXTS, evaluate_dictionaries, null_arms
from experiments.domain_vs_broad.cell_training import train_cell
from experiments.domain_vs_broad.matrix import Cell, cells_of, plan_text
from experiments.domain_vs_broad.profiles import Profile
from experiments.domain_vs_broad.texts import EvaluationText, evaluation_text, seen_by, training_rows
from experiments.domain_vs_broad.trained_nulls import host_of_null, train_null
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.progress import progress
from sae.written_whole import written_whole

__all__ = ["Matrix", "held_out_text", "nulls_plan", "run_matrix", "spec_of"]

CELLS, CELL, PROFILE, TEXT_RECORD = "cells", "cell.json", "profile.json", "texts.json"
MAY_DIFFER = ("arms", "nulls", "seeds", "measured")
"""Of the profile: whether there are more or fewer cells, and what is done with them afterwards."""
ADDED = {"dtype": "float32"}
"""Fields of a profile that cells of earlier versions do not name, and what they were then; others were null."""


@dataclass(frozen=True)
class Matrix:
    """A matrix, finished or not.

    Attributes:
        profile: What is run.
        directory: Where its cells lie.
    """

    profile: Profile
    directory: Path

    @property
    def cells(self) -> list[Cell]:
        """All of them."""
        return cells_of(self.profile)

    @property
    def missing(self) -> list[Cell]:
        """Those that were not trained and evaluated yet."""
        return [cell for cell in self.cells if not _is_done(self.cell_directory(cell))]

    @property
    def texts(self) -> dict[str, dict[str, dict[str, int]]]:
        """By host and text: held-out documents, and how many were left out as exact and near duplicates."""
        found: dict[str, dict[str, dict[str, int]]] = json.loads((self.directory / TEXT_RECORD).read_text("utf-8"))
        return found

    @property
    def seconds(self) -> float:
        """Of all cells, those of earlier runs included."""
        directories = [self.cell_directory(cell) for cell in self.cells]
        directories += [self.null_directory(host, arm) for host, _ in self.profile.hosts for arm in self.profile.nulls]
        return sum(float(json.loads((path / CELL).read_text("utf-8"))["seconds"]) for path in directories)

    def cell_directory(self, cell: Cell) -> Path:
        """Where a cell's dictionaries and sums lie."""
        return self.directory / CELLS / cell.directory

    def null_directory(self, host: str, arm: str) -> Path:
        """The same of an arm that learned nothing."""
        return self.directory / CELLS / host / f"null-{arm}"


def nulls_plan(matrix: Matrix) -> str:
    """How many null arms there are to train and evaluate, in a line."""
    directories = [matrix.null_directory(host, arm) for host, _ in matrix.profile.hosts for arm in matrix.profile.nulls]
    n_done = sum(_is_done(path) for path in directories)
    trained = f"{len(set(TRAINED_NULLS) & set(matrix.profile.nulls))} of each host are trained as a cell is"
    return f"{len(directories)} null arms ({trained}), {n_done} done, {len(directories) - n_done} to do"


def run_matrix(
    profile: Profile, directory: Path, *, device: str = "auto", tell: Callable[[str], None] = lambda _: None
) -> Matrix:
    """Train and evaluate every cell that is not there yet.

    Args:
        profile: What to run.
        directory: Of the work; made if missing.
        device: Where hosts run and dictionaries are trained.
        tell: Is given the plan, before anything is run.

    Raises:
        ValueError: The directory holds another profile's cells, or a text or a host cannot be read.
    """
    _check_same_profile(profile, directory / PROFILE)
    matrix = Matrix(profile, directory)
    missing = matrix.missing
    tell(plan_text(profile, matrix.cells, missing))
    for name, location in profile.hosts:
        rest = [cell for cell in missing if cell.host == name]
        if rest or not all(_is_done(matrix.null_directory(name, arm)) for arm in profile.nulls):
            _run_host(matrix, name, HostModel.load(location, device=device, dtype=profile.dtype), rest)
            gc.collect()  # a host refers to itself: without this the next one is loaded beside it
    return matrix


def _run_host(matrix: Matrix, name: str, host: HostModel, cells: list[Cell]) -> None:
    """All missing cells of one host, and the arms that learned nothing."""
    profile, site = matrix.profile, Site.parse(matrix.profile.site)
    context = _context(profile, host)
    rows = {
        text: training_rows(host, getattr(profile, text), site, n_tokens=profile.harvested, context=context)
        for text in TEXTS
    }
    texts = {text: held_out_text(profile, host, spec_of(profile, text), n_tokens=profile.evaluated) for text in TEXTS}
    _record_duplicates(matrix.directory / TEXT_RECORD, name, texts)
    for arm, dictionaries in null_arms(profile, rows[DOMAIN]).items():
        if arm not in profile.nulls or _is_done(matrix.null_directory(name, arm)):
            continue
        with _cell_in(matrix.null_directory(name, arm)) as directory:
            evaluate_dictionaries(dictionaries, host, site, texts, directory)
    for arm in TRAINED_NULLS:
        if arm not in profile.nulls or _is_done(matrix.null_directory(name, arm)):
            continue
        with _cell_in(matrix.null_directory(name, arm)) as directory:
            own = host_of_null(arm, host)
            dictionaries = train_null(arm, name, profile, own, directory, rows[DOMAIN] if own is host else None)
            seen = texts if own is host else {text: seen_by(each, own, site) for text, each in texts.items()}
            evaluate_dictionaries(dictionaries, own, site, seen, directory)
    for cell in progress(cells, f"cells of host {name}", unit="cell"):
        with _cell_in(matrix.cell_directory(cell)) as directory:
            dictionaries = train_cell(cell, profile, host, rows, directory)
            evaluate_dictionaries(dictionaries, host, site, texts, directory)


def spec_of(profile: Profile, text: str) -> str:
    """SPEC of the held-out text that dictionaries are judged on."""
    return {
        DOMAIN: profile.judged_domain or profile.domain,
        BROAD: profile.judged_broad or profile.broad,
    }[text]


def held_out_text(profile: Profile, host: HostModel, spec: str, *, n_tokens: int) -> EvaluationText:
    """Documents of a text that no arm was trained on."""
    return evaluation_text(
        host,
        spec,
        (profile.domain, profile.broad),
        Site.parse(profile.site),
        n_tokens=n_tokens,
        n_trained=profile.harvested,
        context=_context(profile, host),
    )


def _context(profile: Profile, host: HostModel) -> int:
    return min(profile.context, host.context_length)


@contextmanager
def _cell_in(directory: Path) -> Iterator[Path]:
    """A directory that gets its name when its block has ended, with the seconds that it took."""
    unfinished = directory.with_name(f".{directory.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    started = time.perf_counter()
    yield unfinished
    _write_json(unfinished / CELL, {"seconds": time.perf_counter() - started})
    shutil.rmtree(directory, ignore_errors=True)
    unfinished.rename(directory)


def _is_done(directory: Path) -> bool:
    return (directory / CELL).is_file()


def _check_same_profile(profile: Profile, path: Path) -> None:
    """Cells are only comparable when all is equal that they depend on."""
    ours = {name: value for name, value in profile.to_json().items() if name not in MAY_DIFFER}
    ours = json.loads(json.dumps(ours))
    if path.is_file():
        theirs = ADDED | json.loads(path.read_text("utf-8"))
        if changed := sorted(name for name in ours if theirs.get(name) != ours[name]):
            raise ValueError(
                f"{str(path.parent)!r} holds cells of another profile (other {', '.join(changed)}), expected the same; "
                "give another --work"
            )
    _write_json(path, ours)


def _record_duplicates(path: Path, host: str, texts: Mapping[str, EvaluationText]) -> None:
    known = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    known[host] = {
        name: {
            "documents": len(text.documents),
            "exact_duplicates": text.duplicates.n_exact,
            "near_duplicates": text.duplicates.n_near,
        }
        for name, text in texts.items()
    }
    _write_json(path, known)


def _write_json(path: Path, content: Any) -> None:
    with written_whole(path) as part:
        part.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", "utf-8")
