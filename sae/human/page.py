"""The page that raters get: one file, offline, that keeps their progress and hands out their answers."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from sae.self_contained_page import self_contained_page

__all__ = ["page_text"]


def page_text(items: Sequence[dict[str, Any]], key_sha256: str) -> str:
    """The page as text.

    Args:
        items: In order; nothing of the key may be among them.
        key_sha256: Which key the answers will fit.
    """
    folder = files("sae.human") / "page"
    template, style, script = (
        (folder / name).read_text(encoding="utf-8") for name in ("template.html", "rating.css", "rating.js")
    )
    data = {"schema_version": 1, "key_sha256": key_sha256, "items": list(items)}
    return self_contained_page(template, title="What do these texts share?", style=style, script=script, data=data)
