"""A report as JSON, and back; `report.schema.json` says what it looks like.

Numbers stand once, in `records`, each under an id that says table, row and column; cells of tables name the id.
"""

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import jsonschema

from experiments.report.contents import Figure, Report, Row, Section, Table
from sae.command_line import SCHEMA_VERSION, versions
from sae.measurement import Measurement

__all__ = ["check_report", "report_from_json", "report_to_json"]

PLAIN = ("experiment", "profile", "title", "claim", "config", "seconds")
NUMBERS = tuple(Measurement.__dataclass_fields__)


def report_to_json(report: Report) -> dict[str, Any]:
    """The record, checked against the schema.

    Raises:
        ValueError: It does not obey the schema.
    """
    content = {
        "schema_version": SCHEMA_VERSION,
        "command": f"experiments run {report.experiment} --profile {report.profile}",
        **{name: getattr(report, name) for name in PLAIN},
        "config_hash": _hash(report.config),
        "versions": versions(),
        "findings": list(report.findings),
        "warnings": list(report.warnings),
        "sections": [_section(section) for section in report.sections],
        "records": {
            name: {"table": table.name, "row": row, "column": column, **number.to_json()}
            for table in report.tables
            for name, row, column, number in table.records()
        },
    }
    content = json.loads(json.dumps(content, allow_nan=False))
    check_report(content)
    return content


def report_from_json(content: Mapping[str, Any]) -> Report:
    """The report of a record.

    Raises:
        ValueError: It does not obey the schema.
    """
    check_report(content)
    records = content["records"]
    return Report(
        **{name: content[name] for name in PLAIN},
        findings=tuple(content["findings"]),
        warnings=tuple(content["warnings"]),
        sections=tuple(_read_section(section, records) for section in content["sections"]),
    )


def check_report(content: Any) -> None:
    """Whether JSON is a report.

    Raises:
        ValueError: It is not; the message names the place and what is wrong there.
    """
    schema = json.loads((files("experiments.report") / "report.schema.json").read_text(encoding="utf-8"))
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(content))
    if error is not None:
        place = "/".join(map(str, error.absolute_path)) or "the top"
        raise ValueError(f"this is no report of an experiment: at {place}, {error.message[:200]}")
    missing = {name for name in _named(content) if name not in content["records"]}
    if missing:
        raise ValueError(f"this is no report of an experiment: record {min(missing)!r} is missing")


def _named(content: Mapping[str, Any]) -> list[str]:
    """Ids of the records that tables name."""
    return [
        cell["record"]
        for section in content["sections"]
        for table in section["tables"]
        for row in table["rows"]
        for cell in (*row["cells"].values(), *row["nulls"].values())
        if isinstance(cell, dict)
    ]


def _hash(config: Mapping[str, Any]) -> str:
    text = json.dumps(config, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _section(section: Section) -> dict[str, Any]:
    return {
        "title": section.title,
        "text": section.text,
        "tables": [_table(table) for table in section.tables],
        "figures": [{"name": f.name, "title": f.title, "caption": f.caption, "svg": f.svg} for f in section.figures],
    }


def _table(table: Table) -> dict[str, Any]:
    def cell(row: Row, column: str, value: Measurement | str) -> Any:
        return value if isinstance(value, str) else {"record": f"{table.name}/{row.label}/{column}"}

    rows = [
        {
            "label": row.label,
            "cells": {column: cell(row, column, value) for column, value in row.cells.items()},
            "nulls": {column: cell(row, column, value) for column, value in row.nulls.items()},
        }
        for row in table.rows
    ]
    names = {"name": table.name, "title": table.title, "note": table.note}
    return {**names, "columns": list(table.columns), "nulls": list(table.nulls), "rows": rows}


def _read_section(section: Mapping[str, Any], records: Mapping[str, Any]) -> Section:
    tables = tuple(_read_table(table, records) for table in section["tables"])
    figures = tuple(Figure(**figure) for figure in section["figures"])
    return Section(section["title"], section["text"], tables, figures)


def _read_table(table: Mapping[str, Any], records: Mapping[str, Any]) -> Table:
    rows = tuple(
        Row(row["label"], _read_cells(row["cells"], records), _read_numbers(row["nulls"], records))
        for row in table["rows"]
    )
    return Table(table["name"], table["title"], tuple(table["columns"]), rows, tuple(table["nulls"]), table["note"])


def _read_cells(cells: Mapping[str, Any], records: Mapping[str, Any]) -> dict[str, Measurement | str]:
    words = {column: cell for column, cell in cells.items() if isinstance(cell, str)}
    numbers = _read_numbers({column: cell for column, cell in cells.items() if column not in words}, records)
    return {column: words[column] if column in words else numbers[column] for column in cells}


def _read_numbers(cells: Mapping[str, Any], records: Mapping[str, Any]) -> dict[str, Measurement]:
    found = {column: records[cell["record"]] for column, cell in cells.items()}
    return {column: Measurement(**{name: record[name] for name in NUMBERS}) for column, record in found.items()}
