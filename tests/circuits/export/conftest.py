import pytest
from circuit_pages import opened


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Opens a circuit's page in a headless browser and returns the document after its script has run."""
    folder = tmp_path_factory.mktemp("page")

    def open_page(circuit, fragment="", *, then=""):
        return opened(circuit, folder, fragment, then=then)

    return open_page
