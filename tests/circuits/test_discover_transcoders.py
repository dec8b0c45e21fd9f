"""`discover` with transcoders: from a directory to nodes and their faithfulness, and back from the circuit's files."""

import pytest
from circuit_cases import CONTRAST, PROMPT
from tiny_models import random_transcoder, save_tiny_llama

from circuits.discovery import discover
from circuits.effects.node_effects import score_nodes
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


def test_an_edge_into_a_transcoder_is_what_its_input_does_to_the_feature(model):
    """Each source alone at its baseline, all else clean: how far the target's reading of the MLP's input moves."""
    opened = reopen(found(model, exact_edges=True))
    runs, circuit = opened.ensemble.first, opened.circuit
    effects = score_nodes(runs)
    nodes = {node.id: node for node in circuit.nodes}
    checked = 0
    for edge in circuit.edges:
        source, target = nodes[edge.source], nodes[edge.target]
        if source.feature is None or target.feature is None:
            continue
        writer, reader = runs.dictionaries[source.site], runs.dictionaries[target.site]
        moved = (source.baseline_activation - source.activation) * writer.decoder_rows[source.feature]

        def put(x, moved=moved, position=source.position):
            x = x.clone()
            x[0, position] += moved
            return x

        read = runs.input_sites[target.site]
        between = [site for site in runs.sites if source.site < site < target.site]
        hold = {site: (lambda x, site=site: runs.clean[site]) for site in between}
        seen = runs.host.forward(runs.batch, {source.site: put, **hold}, capture=[read]).activations[read]
        before, after = (reader.encode(x[0, target.position])[target.feature].item() for x in (runs.clean[read], seen))
        weight = reader.decoder_rows[target.feature] @ effects[target.site].gradient[target.position]
        assert edge.exact_effect == pytest.approx(weight.item() * (after - before), abs=1e-4)
        checked += 1
    assert checked > 3
