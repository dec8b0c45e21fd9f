"""Opens self-contained pages in a headless browser, for tests of what their scripts make of them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome on PATH")
HOSTILE = "</script><img src=x onerror=alert(1)>"


def document_after_scripts(
    text: str, path: Path, profile: Path, fragment: str = "", *, then: str = "", options: tuple[str, ...] = ()
) -> str:
    """The page's HTML once its scripts have run, and `then` after them; it must have written nothing to the console."""
    if then:
        text = re.sub(r"<meta[^>]*Security-Policy[^>]*>", "", text)
        text = text.replace("</body>", f"<script>{then}</script></body>")
    path.write_text(text, encoding="utf-8")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    run = subprocess.run(
        [BROWSER, *flags, *options, f"--user-data-dir={profile}", "--virtual-time-budget=2000", f"file://{path}{fragment}"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in run.stderr, run.stderr
    return run.stdout
