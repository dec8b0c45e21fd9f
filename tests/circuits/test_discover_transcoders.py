"""`discover` with transcoders: from a directory to nodes and their faithfulness, and back from the circuit's files."""

import pytest
from circuit_cases import CONTRAST, PROMPT
from tiny_models import random_transcoder, save_tiny_llama

from circuits.discovery import discover
from circuits.reopening import reopen
from sae.dictionary.transcoder import Transcoder
from sae.host.sites import Site


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model directory with a transcoder at each MLP."""
    root = tmp_path_factory.mktemp("model")
    save_tiny_llama(root / "host")
    for layer in range(3):
        random_transcoder(layer, seed=layer, skip=layer == 1).save(root / "transcoders" / str(layer))
    return root


def found(model, **options):
    places = {"model": str(model / "host"), "saes": model / "transcoders", "sites": "mlp_out.*"}
    return discover(PROMPT, contrast=CONTRAST, foil="w9", top_k=8, **places, **options)


def test_transcoder_features_are_nodes_where_they_write(model):
    circuit = found(model, nodes_only=True)
    assert len(circuit.features) == 8
    assert {node.site.kind for node in circuit.nodes} == {"mlp_out"}
    assert circuit.faithfulness.value > 0
    assert [entry["site"] for entry in circuit.provenance["saes"]] == ["mlp_out.0", "mlp_out.1", "mlp_out.2"]


def test_a_circuit_of_transcoders_can_be_reopened(model):
    opened = reopen(found(model, nodes_only=True))
    dictionary = opened.bench.dictionaries[Site("mlp_out", 1)]
    assert isinstance(dictionary, Transcoder)
    assert dictionary.W_skip is not None


def test_edges_into_transcoders_are_refused_before_anything_runs(model):
    with pytest.raises(ValueError, match=r"edges into the transcoder at mlp_out\.0 cannot be scored; add --nodes-only"):
        found(model)
