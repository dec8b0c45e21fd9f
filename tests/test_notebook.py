"""The notebooks run from top to bottom on the bundled model."""

import json
import sys
from pathlib import Path

import pytest

from sae.bundle import find_bundle

DOCS = Path(__file__).parents[1] / "docs"
WRITTEN = {"first_circuit": "first_circuit/circuit.json", "first_steering": "demo.html"}
"""What each notebook leaves behind."""


@pytest.mark.slow
@pytest.mark.skipif(find_bundle("clinic") is None, reason="the bundled model is not in this checkout")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", WRITTEN)
def test_the_notebook_runs(tmp_path, monkeypatch, name):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(DOCS.parent))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    notebook = nbformat.read(DOCS / f"{name}.ipynb", as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert (tmp_path / WRITTEN[name]).is_file()
    assert sys.version_info >= (3, 11)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_notebook_is_kept_without_outputs(name):
    cells = json.loads((DOCS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
