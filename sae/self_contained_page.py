"""One HTML file with its style, its script and its data inside, which loads nothing and runs nothing else."""

import base64
import hashlib
import html
import json
from string import Template
from typing import Any

__all__ = ["self_contained_page"]


def self_contained_page(template: str, *, title: str, style: str, script: str, data: dict[str, Any]) -> str:
    """Fill a template.

    Args:
        template: HTML with `$policy`, `$title`, `$style`, `$script` and, in a script element of type
            application/json, `$data`.
        title: Plain text.
        style: The style sheet.
        script: The script.
        data: What the script shows; numbers must be finite.
    """
    return Template(template).substitute(
        policy=_policy(style, script),
        title=html.escape(title),
        style=style,
        script=script,
        data=_json_in_script(data),
    )


def _policy(style: str, script: str) -> str:
    """A content security policy: nothing is loaded, and only this style and this script are in force."""
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)
    )
    return (
        f"default-src 'none'; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _json_in_script(data: dict[str, Any]) -> str:
    """JSON without any character that HTML or JavaScript could read as more than data."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
