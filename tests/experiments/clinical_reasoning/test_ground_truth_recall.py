"""Recall of names by circuits, and its nulls, which are exact: held against every draw, or against many."""

import random
from itertools import combinations, product

import pytest
import torch

from experiments.clinical_reasoning.analyses.ground_truth.meanings import UNNAMED, Meanings, meaning_of
from experiments.clinical_reasoning.analyses.ground_truth.name_tables import tail_probability
from experiments.clinical_reasoning.analyses.ground_truth.ranked_nodes import ALL, ANSWER, LATE, RankedNodes
from experiments.clinical_reasoning.analyses.ground_truth.recall import miss_probability, recall_of, right_names
from sae.host.sites import Site

SITES = (Site("resid_post", 0), Site("resid_post", 1))
NAMES = ("diagnosis:gout", "finding:cough", "finding:fever")
GOUT, COUGH, FEVER = range(3)
N_DRAWS = 10_000


def meanings(d_sae=12):
    """At each site three features are named: two for fever at the first, one at the second."""
    first, second = torch.full((d_sae,), UNNAMED), torch.full((d_sae,), UNNAMED)
    first[0], first[1], first[2], first[3] = FEVER, FEVER, COUGH, COUGH
    second[0], second[1], second[2] = FEVER, COUGH, GOUT
    return Meanings(NAMES, {SITES[0]: first, SITES[1]: second})


def circuit(*nodes, last=3):
    """Nodes as (site, position, feature), strongest first."""
    site, position, feature = (torch.tensor(column) for column in zip(*nodes, strict=True))
    table = list(meanings().of_feature.values())
    meaning = torch.stack([table[s][f] for s, _, f in nodes])
    groups = {ALL: torch.ones(len(nodes), dtype=torch.bool), LATE: site >= 1, ANSWER: position == last}
    return RankedNodes(site, position, feature, meaning, groups, torch.zeros(2), torch.ones(2))


TWO = (
    circuit((0, 1, 5), (0, 1, 2), (1, 3, 2), (0, 1, 0), (1, 3, 0), (0, 2, 7), (0, 2, 1)),
    circuit((0, 2, 3), (1, 3, 6), (1, 3, 1), (0, 2, 0), (0, 3, 8)),
)


def columns(nodes, group):
    """Site, feature, meaning and whether it counts, of every node."""
    return [column.tolist() for column in (nodes.site, nodes.feature_id, nodes.meaning, nodes.groups[group])]


def recall(number, group=ALL, *, circuits=TWO, size=3, sizes=(1, 3, 5)):
    return recall_of(circuits, meanings(), number, group, sizes, size)


def test_labels_of_one_thing_have_one_meaning():
    labels = ["pos:fever", "neg:fever", "finding:fever", "measure:fever"]
    assert {meaning_of(label) for label in labels} == {"finding:fever"}
    assert meaning_of("dx:gout") == meaning_of("latent:gout") == "diagnosis:gout"
    assert meaning_of("mod:pregnancy") == "condition:pregnancy"
    assert meaning_of("demo:old") == "demo:old"


def test_missing_is_the_share_of_draws_without_a_hit():
    for n, n_hits, n_drawn in product(range(1, 7), range(4), range(7)):
        if n_hits <= n:
            drawn = list(combinations(range(n), min(n_drawn, n)))
            missed = sum(all(i >= n_hits for i in each) for each in drawn) / len(drawn)
            assert miss_probability(n, n_hits, n_drawn) == pytest.approx(missed)


def test_a_planted_name_is_recalled_from_its_rank_on_and_no_other():
    found = recall(FEVER)
    assert found.first == 4
    assert [found.found(size) for size in (3, 4, 100)] == [False, True, True]
    assert recall(COUGH).first == 1
    assert recall(GOUT).first == 3


def test_only_nodes_of_the_group_count():
    assert recall(COUGH, LATE).first == 3
    assert recall(FEVER, ANSWER).first == 5
    nowhere = recall(COUGH, ANSWER, circuits=TWO[:1])
    assert (nowhere.differs, nowhere.first, nowhere.random_differing) == (False, None, (0.0, 0.0, 0.0))
    assert nowhere.random_named == 0.0


def test_without_a_name_nothing_is_recalled_and_by_chance_neither():
    none = recall(None)
    assert not none.is_nameable
    assert not none.found(10**6)
    assert {*none.random_differing, none.random_named, none.random_features, none.shuffled_names} == {0.0}


def test_random_nodes_that_are_all_nodes_recall_all_that_differs():
    everything = recall(FEVER, sizes=(100,), size=100)
    assert everything.random_differing == (1.0,)
    assert everything.random_named == 1.0


@pytest.mark.parametrize("group", [ALL, LATE])
@pytest.mark.parametrize("number", [FEVER, COUGH])
def test_nulls_are_what_many_draws_give(number, group):
    rng = random.Random(0)
    found = recall(number, group)
    table = [ids.tolist() for ids in meanings().of_feature.values()]
    plain = [list(zip(*columns(nodes, group), strict=True)) for nodes in TWO]
    kept = [(site, feature) for nodes in plain for site, feature, _, counts in nodes[:3] if counts]

    def differing():
        return any(name == number and counts for nodes in plain for *_, name, counts in rng.sample(nodes, 3))

    def named():
        some = [[node for node in nodes if node[2] != UNNAMED] for nodes in plain]
        return any(name == number and counts for nodes in some for *_, name, counts in rng.sample(nodes, 3))

    def features():
        return any(rng.choice(table[site]) == number for site, _ in kept)

    def shuffled():
        given = []
        for names in table:
            places = [feature for feature, name in enumerate(names) if name != UNNAMED]
            new = [names[feature] for feature in places]
            rng.shuffle(new)
            given.append(dict(zip(places, new, strict=True)))
        return any(given[site].get(feature) == number for site, feature in kept)

    expected = (found.random_differing[1], found.random_named, found.random_features, found.shuffled_names)
    for draw, probability in zip((differing, named, features, shuffled), expected, strict=True):
        assert sum(draw() for _ in range(N_DRAWS)) / N_DRAWS == pytest.approx(probability, abs=0.02)


def test_right_names_count_a_node_that_two_circuits_have_once():
    twice = right_names([TWO[0], TWO[0]], meanings(), "finding", [FEVER], None)
    once = right_names([TWO[0]], meanings(), "finding", [FEVER], None)
    assert twice == once
    assert (once.n_nodes, once.n_named, once.n_of_kind, once.n_right) == (7, 5, 4, 3)
    first = right_names([TWO[0]], meanings(), "diagnosis", [GOUT], 3)
    assert (first.n_nodes, first.n_named, first.n_of_kind, first.n_right) == (3, 2, 1, 1)


def test_the_tail_is_the_sum_over_all_outcomes():
    probabilities = [0.1, 0.5, 0.8]
    for n_found in range(5):
        total = 0.0
        for outcome in product((0, 1), repeat=3):
            weight = 1.0
            for happened, p in zip(outcome, probabilities, strict=True):
                weight *= p if happened else 1 - p
            total += weight * (sum(outcome) >= n_found)
        assert tail_probability(probabilities, n_found) == pytest.approx(total)
    assert tail_probability([], 0) == 1.0
