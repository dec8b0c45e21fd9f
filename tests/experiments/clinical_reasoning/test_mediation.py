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


@pytest.mark.xfail(reason="open: pairs that share their finding with few others now choose latents on themselves")
def test_planted_latents_are_chosen_on_other_cases_and_carry_the_effect(record):
    assert share(record, "everywhere", "dense") == pytest.approx(1, abs=1e-3)
    for null in ("random", "twins", "misplaced"):
        assert share(record, "finding", "elsewhere", 1) > share(record, "finding", null, 1) + 0.1
    # the "broad" dictionaries are the same ones here
    assert share(record, "everywhere", "broad") == pytest.approx(share(record, "everywhere", "elsewhere"), abs=1e-3)


def named(pair) -> list[str]:
    return [f"finding:{name}" for name in pair["names"]["finding"]]


@pytest.mark.xfail(reason="open: pairs that share their finding with few others now choose latents on themselves")
def test_labels_and_agreement_are_recorded(record):
    found = [len({*pair["labels"]["finding"]} & {*named(pair)}) for pair in record["pairs"]]
    # three of 64 latents are named: by chance one pair in six would have one of its two
    assert sum(n > 0 for n in found) > 0.6 * len(found)
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
