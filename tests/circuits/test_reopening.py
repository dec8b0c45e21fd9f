"""A circuit on disk gives back the runs that it was found on."""

from dataclasses import replace

import pytest
from tiny_models import random_sae, save_tiny_llama

from circuits.discovery import discover
from circuits.evaluation.kept_share import faithfulness
from circuits.evaluation.masked_runs import ensemble_metrics
from circuits.graph.circuit import Circuit
from circuits.reopening import node_set, reopen
from circuits.runs.node_set import NodeSet
from sae.host.sites import Site

SITES = "resid_post.0,resid_post.1"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    model = save_tiny_llama(folder / "model")
    for layer in (0, 1):
        site = Site("resid_post", layer)
        random_sae(32, 64, site, seed=layer).save(folder / "saes" / str(site))
    return {"model": str(model), "saes": str(folder / "saes"), "sites": SITES}


@pytest.fixture
def found(tiny, tmp_path):
    discover("w1 w2 w3 w4 w5", contrast="w1 w2 w7 w4 w5", foil="w9", **tiny).save(tmp_path)
    return Circuit.load(tmp_path)


def test_the_reopened_circuit_keeps_what_it_kept(found):
    ensemble = reopen(found).ensemble
    metrics = ensemble_metrics(ensemble, [NodeSet({}), node_set(found)])
    share = faithfulness(metrics, metrics[0], ensemble.clean_metrics)[1].item()
    assert share == pytest.approx(found.faithfulness.value, abs=1e-5)
    assert ensemble.clean_metric == pytest.approx(found.metric.clean, abs=1e-5)


def test_an_altered_sae_is_refused(found, tiny, tmp_path_factory):
    moved = tmp_path_factory.mktemp("other") / "sae"
    random_sae(32, 64, Site("resid_post", 0), seed=9).save(moved)
    saes = [{**entry, "path": str(moved)} for entry in found.provenance["saes"]]
    with pytest.raises(ValueError, match="was altered since the circuit was found"):
        reopen(replace(found, provenance={**found.provenance, "saes": saes}))


def test_another_tokenisation_is_refused(found):
    with pytest.raises(ValueError, match="reads other tokens than the circuit has"):
        reopen(replace(found, prompt="w1 w2 w3 w4 w6"))


def test_a_circuit_that_does_not_say_its_model_is_refused(found):
    without = {key: value for key, value in found.provenance.items() if key != "saes"}
    with pytest.raises(ValueError, match="has no entry 'saes'"):
        reopen(replace(found, provenance=without))
