"""The second stage: measures the features of every finished dictionary at the middle wanted L0, one record a cell.

A record lies beside the dictionary that it is of and goes with it. What was measured in other sizes is measured again.
"""

import gc
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.domain_vs_broad.arms import DOMAIN, TRAINED_NULLS
from experiments.domain_vs_broad.cell_training import dictionary_name
from experiments.domain_vs_broad.feature_tables import middle_of
from experiments.domain_vs_broad.measures.interpretability import interpretability_record
from experiments.domain_vs_broad.measures.judged_text import JudgedText, judged_text
from experiments.domain_vs_broad.measures.known_concepts import (
    absorption_record,
    localisation_record,
    probing_record,
)
from experiments.domain_vs_broad.measures.residual import residual_record
from experiments.domain_vs_broad.measures.settings import MeasureSettings
from experiments.domain_vs_broad.running import Matrix, held_out_text, spec_of
from experiments.domain_vs_broad.trained_nulls import host_of_null
from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.progress import progress
from sae.written_whole import written_whole

__all__ = ["PARTS", "load_measures", "measure_dictionary", "measure_matrix", "measures_plan", "seconds_of_measures"]

RECORD = "measures.json"
SCHEMA = 1
PARTS = ("residual", "interpretability", "localisation", "probing", "absorption")
SECONDS_A_DICTIONARY = 35.0
"""Of profile clinic on one core."""


@dataclass(frozen=True)
class _Task:
    """A cell whose dictionary is to be measured; `null` names the null arm, if it is one."""

    host: str
    directory: Path
    null: str = ""


def measure_matrix(matrix: Matrix, *, device: str = "auto") -> None:
    """Measure every dictionary that has no record of these sizes yet.

    Args:
        matrix: Finished.
        device: Where hosts run.
    """
    missing = [task for task in _tasks(matrix) if not _is_measured(matrix, task.directory)]
    for name, location in matrix.profile.hosts:
        rest = [task for task in missing if task.host == name]
        if rest:
            _measure_host(matrix, HostModel.load(location, device=device, dtype=matrix.profile.dtype), rest)
            gc.collect()  # a host refers to itself: without this the next one is loaded beside it


def measures_plan(matrix: Matrix) -> str:
    """What there is to measure and what it costs, in a line."""
    tasks = list(_tasks(matrix))
    missing = [task for task in tasks if not _is_measured(matrix, task.directory)]
    minutes = len(missing) * SECONDS_A_DICTIONARY / 60
    return (
        f"{len(tasks)} dictionaries of wanted L0 {middle_of(matrix.profile.l0):g} have their features measured, "
        f"{len(tasks) - len(missing)} done, {len(missing)} to do: {minutes:.0f} minutes at the "
        f"{SECONDS_A_DICTIONARY:.0f} s each of profile clinic"
    )


def load_measures(directory: Path) -> dict[str, Any] | None:
    """The record of a cell; None where it was not measured."""
    path = directory / RECORD
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def seconds_of_measures(matrix: Matrix) -> float:
    """Of all records, those of earlier runs included."""
    records = (load_measures(task.directory) for task in _tasks(matrix))
    return float(sum(sum(record["seconds"].values()) for record in records if record is not None))


def measure_dictionary(
    host: HostModel, sae: SAE, site: Site, text: JudgedText, matrix: Matrix
) -> dict[str, dict[str, Any]]:
    """Every part of a record, or the reason why there is none; with the seconds that each took."""
    settings = _settings(matrix)
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "residual": lambda: residual_record(host, sae, site, text, seed=settings.seed),
        "interpretability": lambda: interpretability_record(host, sae, text, settings),
        "localisation": lambda: localisation_record(host, sae, text, settings),
        "probing": lambda: probing_record(host, sae, text, settings),
        "absorption": lambda: absorption_record(host, sae, text, settings),
    }
    found: dict[str, dict[str, Any]] = {"seconds": {}}
    for name in PARTS:
        started = time.perf_counter()
        try:
            found[name] = parts[name]()
        except ValueError as error:
            # too little text, or nothing known of it: the report says so in place of a table
            found[name] = {"reason": str(error)}
        found["seconds"][name] = round(time.perf_counter() - started, 2)
    return found


def _measure_host(matrix: Matrix, host: HostModel, tasks: list[_Task]) -> None:
    profile, site, settings = matrix.profile, Site.parse(matrix.profile.site), _settings(matrix)
    spec = spec_of(profile, DOMAIN)
    held_out = held_out_text(profile, host, spec, n_tokens=settings.tokens)
    text = judged_text(spec, held_out, settings)
    name = dictionary_name(middle_of(profile.l0))
    for task in progress(tasks, "features of dictionaries", unit="dictionary"):
        own = host_of_null(task.null, host)
        sae = SAE.load(task.directory / name, device=str(own.device))
        record = {**_identity(matrix), **measure_dictionary(own, sae, site, text, matrix)}
        with written_whole(task.directory / RECORD) as part:
            part.write_text(json.dumps(record, allow_nan=False) + "\n", "utf-8")


def _tasks(matrix: Matrix) -> Iterator[_Task]:
    for cell in matrix.cells:
        yield _Task(cell.host, matrix.cell_directory(cell))
    for host, _ in matrix.profile.hosts:
        for arm in (null for null in TRAINED_NULLS if null in matrix.profile.nulls):
            yield _Task(host, matrix.null_directory(host, arm), arm)


def _is_measured(matrix: Matrix, directory: Path) -> bool:
    record = load_measures(directory)
    identity = _identity(matrix)
    return record is not None and {name: record.get(name) for name in identity} == identity


def _identity(matrix: Matrix) -> dict[str, Any]:
    """What a record must agree in to be taken over."""
    profile = matrix.profile
    return {
        "schema": SCHEMA,
        "dictionary": dictionary_name(middle_of(profile.l0)),
        "settings": _settings(matrix).to_json(),
    }


def _settings(matrix: Matrix) -> MeasureSettings:
    if matrix.profile.measured is None:
        raise ValueError(f"profile {matrix.profile.name!r} measures nothing of features, expected sizes in `measured`")
    return matrix.profile.measured
