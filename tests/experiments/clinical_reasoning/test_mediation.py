"""Mediation on a random model: what must carry everything does, what must carry nothing does not."""

import math

import pytest
from analysis_pages import rendered
from mediation_cases import planted, subject, workbench

from circuits.workbench import Workbench
from experiments.clinic.labels import zero_dictionary
from experiments.clinical_reasoning.analyses import mediation


def share(record, place: str, name: str, index: int = -1) -> float:
    own = [pair for pair in record["pairs"] if name in pair["effects"][place]]
    return sum(p["effects"][place][name][index] for p in own) / sum(p["total_effect"] for p in own)


@pytest.fixture(scope="module")
def record():
    return mediation.measure(subject(tools=planted(), broad=planted()), size=10, seed=0)


def test_planted_latents_are_chosen_on_other_cases_and_carry_the_effect(record):
    assert share(record, "everywhere", "dense") == pytest.approx(1, abs=1e-3)
    for null in ("random", "twins", "misplaced"):
        assert share(record, "finding", "elsewhere", 1) > share(record, "finding", null, 1) + 0.1
    # the "broad" dictionaries are the same ones here
    for pair in record["pairs"]:
        of_place = pair["effects"]["everywhere"]
        assert of_place["broad"] == pytest.approx(of_place.get("elsewhere", of_place["own"]), abs=1e-3)


def named(pair) -> list[str]:
    return [f"finding:{name}" for name in pair["names"]["finding"]]


def test_labels_and_agreement_are_recorded(record):
    chosen = [pair for pair in record["pairs"] if pair["labels"]["finding"]]
    found = [bool({*pair["labels"]["finding"]} & {*named(pair)}) for pair in chosen]
    # three of 64 latents are named: by chance one pair in six would have one of its two
    assert sum(found) > 0.5 * len(found)
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
