"""A feature, or a whole dictionary, as one HTML page that needs nothing else: no network, no server, no other file.

What the pages can do is in `page/feature.js` and `page/overview.js`. Text from the model, the corpus or a file is data
there and never markup: it comes as JSON in which no character can end the script element, and the page's own policy
lets only its own script run.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

from sae.inspection.logit_lens import LENS
from sae.inspection.reports import DictionaryReport, FeatureReport
from sae.self_contained_page import self_contained_page
from sae.token_text import readable_token
from sae.written_whole import written_whole

__all__ = ["page_text", "write_page"]

SIGNIFICANT_DIGITS = 5


def write_page(report: FeatureReport | DictionaryReport, path: Path | str) -> None:
    """Write the page of a report to `path`.

    Raises:
        ValueError: If the file cannot be written.
    """
    with written_whole(Path(path)) as part:
        part.write_text(page_text(report), encoding="utf-8", newline="\n")


def page_text(report: FeatureReport | DictionaryReport) -> str:
    """The page as text."""
    is_feature = isinstance(report, FeatureReport)
    folder = files("sae.inspection") / "page"
    template, style, *scripts = (
        (folder / name).read_text(encoding="utf-8")
        for name in ("template.html", "features.css", "marks.js", "feature.js" if is_feature else "overview.js")
    )
    return self_contained_page(
        template,
        title=_title(report),
        style=style,
        script="\n".join(scripts),
        data=_rounded(report.to_json() | {"lens": LENS}),
    )


def _title(report: FeatureReport | DictionaryReport) -> str:
    if isinstance(report, DictionaryReport):
        return f"Features at {report.source.site}"
    name = f"Feature {report.feature} at {report.source.site}"
    return name if report.label is None else f"{readable_token(report.label.text)}: {name}"


def _rounded(data: Any) -> Any:
    """The same with numbers of as many digits as anybody looks at, which halves the size of a page."""
    if isinstance(data, float):
        return float(f"{data:.{SIGNIFICANT_DIGITS}g}")
    if isinstance(data, dict):
        return {key: _rounded(value) for key, value in data.items()}
    return [_rounded(value) for value in data] if isinstance(data, list | tuple) else data
