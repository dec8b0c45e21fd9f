"""Mediation of mined pairs finds the planted cause without labels, broad dictionaries or other cases to choose on."""

from itertools import islice

import pytest
from analysis_pages import rendered
from planted_dependence import planted_host, sentences

from circuits.workbench import open_workbench
from experiments.clinical_reasoning.analyses import mediation
from experiments.clinical_reasoning.asked_pairs import split_pairs
from experiments.clinical_reasoning.mined_pairs import MinedPairs
from experiments.clinical_reasoning.subject import Subject
from experiments.clinical_reasoning.turns import MiningRule
from experiments.small_dictionaries import SmallDictionaries, train_small_dictionaries

N_PAIRS = 12
SAES = SmallDictionaries("sentences", d_sae=64, l0=6.0, distinct_tokens=2000, n_tokens=40_000, batch_tokens=200)


@pytest.fixture(scope="module")
def subject():
    host = planted_host()
    tools = open_workbench(host, saes=train_small_dictionaries(host, sentences(200, seed=2), SAES))
    return Subject("planted", tools, MinedPairs(host, sentences(N_PAIRS, seed=1), MiningRule(margin=3.0)))


@pytest.fixture(scope="module")
def record(subject):
    return mediation.measure(subject, size=10, seed=0)


class FirstPairs:
    """A source that ends after some pairs, no two of which have a text in common."""

    def __init__(self, source, n):
        self.source, self.n = source, n

    def pairs(self, kind, *, seed):
        seen, found = set(), []
        for pair in self.source.pairs(kind, seed=seed):
            if not {pair.prompt, pair.changed_prompt} & seen:
                found.append(pair)
            seen |= {pair.prompt, pair.changed_prompt}
        assert len(found) >= self.n
        return iter(found[: self.n])


def share(record, place, name, index=-1):
    own = record["pairs"]
    return sum(p["effects"][place][name][index] for p in own) / sum(p["total_effect"] for p in own)


@pytest.mark.parametrize(
    ("wanted", "drawn"),
    [((10, 40), (4, 5)), ((3, 40), (3, 6)), ((3, 3), (3, 3)), ((20, 5), (7, 2)), ((5, 0), (5, 0)), ((0, 5), (0, 5))],
)
def test_what_there_is_is_halved_and_no_more_is_reported_than_asked_for(subject, wanted, drawn):
    host, source = subject.workbench.host, FirstPairs(subject.pairs, 9)
    reported, choice, counts = split_pairs(host, source, {"finding": wanted}, seed=0)
    assert (counts["finding"]["drawn"], counts["finding"]["choice_drawn"]) == drawn
    prompts = [{each.pair.prompt for each in some} for some in (reported, choice)]
    assert not prompts[0] & prompts[1]


def test_mined_pairs_are_all_answered_right(record):
    counts = record["counts"]["finding"]
    assert counts["kept"] == counts["drawn"]
    assert [record["counts"][kind]["drawn"] for kind in ("denial", "value")] == [0, 0]


def test_the_planted_cause_is_carried_by_its_latents(record):
    assert share(record, "everywhere", "dense") == pytest.approx(1, abs=1e-3)
    assert share(record, "everywhere", "own", 1) > 0.5
    for null in ("random", "twins", "misplaced"):
        assert share(record, "everywhere", "own", 1) > share(record, "everywhere", null, 1) + 0.2


def test_without_other_cases_or_labels_the_report_says_what_latents_were_chosen_on(record):
    for pair in record["pairs"]:
        for effects in pair["effects"].values():
            effects.pop("elsewhere", None)
    text = rendered(mediation, record)
    assert "(chosen on the pair itself) carry" in text
    assert "Labels of the latents" not in text


def test_pairs_of_a_source_are_mined_as_they_are_asked_for(subject):
    first = list(islice(subject.pairs.pairs("finding", seed=3), 2))
    assert first == list(islice(subject.pairs.pairs("finding", seed=3), 2))
