"""A report as one HTML page that loads nothing and runs nothing: figures are inside, numbers link to their records."""

import base64
import hashlib
import json
import re
from importlib.resources import files
from typing import Any

from jinja2 import Environment
from markupsafe import Markup, escape

from experiments.report.contents import Report
from experiments.report.wording import figure_of, interval_of
from sae.measurement import Measurement

__all__ = ["report_page"]

CODE = re.compile("`([^`]+)`")


def report_page(report: Report) -> str:
    """The page as text. Every string of the report is escaped."""
    folder = files("experiments.report") / "page"
    template, style = ((folder / name).read_text(encoding="utf-8") for name in ("report.html", "report.css"))
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        report=report,
        style=style,
        policy=_policy(style),
        minutes=sum(report.seconds.values()) / 60,
        config=json.dumps(report.config, indent=2, allow_nan=False),
        records=[(name, table, row, column, m) for table in report.tables for name, row, column, m in table.records()],
        is_measured=lambda cell: isinstance(cell, Measurement),
        figure_of=figure_of,
        interval_of=interval_of,
        address=_address,
        picture=_picture,
        prose=_prose,
    )


def _policy(style: str) -> str:
    """A content security policy: one style, pictures that are inside, nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


def _prose(text: str) -> Markup:
    """A text with what stands between backticks set as code, everything else escaped."""
    return Markup(CODE.sub(r"<code>\1</code>", str(escape(text))))


def _address(name: str) -> str:
    """Of a record on the page."""
    return "record-" + hashlib.sha256(name.encode()).hexdigest()[:12]


def _picture(figure: Any) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(figure.svg.encode()).decode()
