"""A demonstration as one HTML page that needs nothing else: no network, no server, no other file.

What the page does is in the scripts of `page/`, one job each; colours, tables and drawing helpers are those of the
pages of features. Text from the model or the user is data there and never markup: it comes as JSON in which no
character can end the script element, and the page's own policy lets only its own script run.
"""

import shlex
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from sae.self_contained_page import self_contained_page
from sae.written_whole import written_whole
from steering.demo.demonstration import UNIT_MEANINGS, Demonstration

__all__ = ["page_text", "write_page"]

SHARED = ("features.css", "marks.js")
SCRIPTS = ("strength", "texts", "strip", "curves", "tables", "card", "demo")
"""The parts in `page/`, in the order in which they are read: later ones build on earlier ones."""
DRAWN = ("target_rate", "kl_off_target")
"""Curves that are drawn; all are in the table."""
EFFECTS_NOTE = (
    "KL is KL(steered ‖ plain) of the next token, the mean over a text's tokens; the edit acts at the last token of "
    "what is shown of it. KL over the other answers leaves out the target and the answer without steering. "
    "Intervals are 95 %, over cases or texts."
)


def write_page(shown: Demonstration, record: Mapping[str, Any], command: Sequence[str], path: Path) -> None:
    """Write the page.

    Raises:
        ValueError: If the file cannot be written.
    """
    with written_whole(path) as part:
        part.write_text(page_text(shown, record, command), encoding="utf-8", newline="\n")


def page_text(shown: Demonstration, record: Mapping[str, Any], command: Sequence[str]) -> str:
    """The page as text.

    Args:
        shown: The demonstration.
        record: What every JSON result carries: model, saes, versions, statistics, seed.
        command: The words of a command that makes the same demonstration again.
    """
    own, shared = files("steering.demo") / "page", files("sae.inspection") / "page"
    features_style, marks = ((shared / name).read_text(encoding="utf-8") for name in SHARED)
    scripts = [(own / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    return self_contained_page(
        (own / "template.html").read_text(encoding="utf-8"),
        title=f"Steering: “{shown.answer}” to “{shown.target}”",
        style=features_style + (own / "demo.css").read_text(encoding="utf-8"),
        script="\n".join([marks, *scripts]),
        data=_page_data(shown, record, command),
    )


def _page_data(shown: Demonstration, record: Mapping[str, Any], command: Sequence[str]) -> dict[str, Any]:
    most = max(token.activation for text in shown.texts for token in text.tokens)
    return {
        **shown.to_json(),
        "model": record["model"]["name"],
        "drawn": list(DRAWN),
        "null_name": f"random feature, active as often ({shown.null.name}), moved as far",
        "largest": shown.max_act or most or 1.0,
        "scale": "its largest on reference text" if shown.max_act else "the largest here",
        "places": "Added at the prompt's last token, where the answer is decided.",
        "unit_words": f"1 {shown.unit} is {UNIT_MEANINGS[shown.unit]}.",
        "effects_note": EFFECTS_NOTE,
        "commands": _commands(shown, command),
        "provenance": _provenance(record),
    }


def _commands(shown: Demonstration, command: Sequence[str]) -> list[dict[str, str]]:
    edit = f"{shown.feature.name}:add={shown.strengths[shown.chosen]:g}{shown.unit}@last"
    once = ["steering", "generate", "--prompt", shown.prompt, "--edit", edit, "--plain"]
    return [
        {"words": "This page, with the same files of the model:", "command": shlex.join(command)},
        {"words": "The same case at the chosen strength:", "command": shlex.join(once)},
    ]


def _provenance(record: Mapping[str, Any]) -> list[str]:
    saes = ", ".join(f"{each['site']} SHA-256 {each['sha256'][:16]}…" for each in record["saes"])
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    units = "; ".join(f"{site}: {known['source'] or known['reason']}" for site, known in record["statistics"].items())
    return [f"Model {record['model']['name']}, SAEs {saes}.", f"Units measured on {units}.", f"Versions: {versions}."]
