"""The notebook runs from top to bottom on the bundled model."""

import sys
from pathlib import Path

import pytest

from sae.bundle import find_bundle

NOTEBOOK = Path(__file__).parents[1] / "docs" / "first_circuit.ipynb"


@pytest.mark.slow
@pytest.mark.skipif(find_bundle("clinic") is None, reason="the bundled model is not in this checkout")
@pytest.mark.filterwarnings("default")
def test_the_notebook_runs(tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1]))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert (tmp_path / "first_circuit" / "circuit.json").is_file()
    assert sys.version_info >= (3, 11)
