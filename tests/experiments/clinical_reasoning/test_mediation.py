"""Mediation on a random model: what must carry everything does, what must carry nothing does not."""

import math

import pytest
from analysis_pages import rendered
from mediation_cases import subject, workbench

from circuits.workbench import Workbench
from experiments.clinic.labels import zero_dictionary
from experiments.clinical_reasoning.analyses import mediation
from sae.dictionary.labels import FeatureLabel


def share(record, place: str, name: str, index: int = -1) -> float:
    own = [pair for pair in record["pairs"] if name in pair["effects"][place]]
    return sum(p["effects"][place][name][index] for p in own) / sum(p["total_effect"] for p in own)


def labelled() -> Workbench:
    """Every latent is named after the first of the words."""
    tools = workbench()
    names = {
        site: {i: FeatureLabel("finding:w1", 1.0) for i in range(sae.d_sae)} for site, sae in tools.dictionaries.items()
    }
    return Workbench(tools.host, tools.dictionaries, names)


@pytest.fixture(scope="module")
def record():
    return mediation.measure(subject(tools=labelled(), broad=workbench()), size=10, seed=0)


def test_whole_activations_carry_everything_and_latents_more_than_random_ones(record):
    assert share(record, "everywhere", "dense") == pytest.approx(1, abs=1e-3)
    assert share(record, "everywhere", "own") > max(share(record, "everywhere", "random", 0), 0.3)
    assert share(record, "finding", "elsewhere", 2) > share(record, "finding", "misplaced", 2)
    # the "broad" dictionaries are the same ones here
    assert share(record, "everywhere", "broad") == pytest.approx(share(record, "everywhere", "elsewhere"), abs=1e-3)


def test_labels_and_agreement_are_recorded(record):
    assert all(set(pair["labels"]["finding"]) <= {"finding:w1"} for pair in record["pairs"])
    assert all(len(each["attribution"]) == len(each["exact"]) for each in record["agreement"])
    assert all(math.isfinite(x) for each in record["agreement"] for x in each["exact"])


def test_without_features_the_errors_carry_it():
    tools = workbench()
    nothing = {site: zero_dictionary(sae) for site, sae in tools.dictionaries.items()}
    record = mediation.measure(subject(tools=Workbench(tools.host, nothing, tools.labels)), size=5, seed=0)
    assert share(record, "everywhere", "errors") == pytest.approx(1, abs=1e-3)
    for name in ("features", "own", "elsewhere", "random", "twins"):
        assert share(record, "everywhere", name) == 0
    assert "not told apart" in rendered(mediation, record)


def test_it_can_be_read(record):
    text = rendered(mediation, record)
    assert "top 10 at the changed tokens" in text
    assert "SAE errors by themselves carry" in text
