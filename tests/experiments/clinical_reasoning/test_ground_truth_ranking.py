"""Rankings of several bases at once, on a tiny model whose features are named as the test wants."""

import random

import pytest
import torch
from tiny_models import random_sae, tiny_llama

from circuits.effects.node_effects import score_nodes
from circuits.evaluation.selection import Ranking
from circuits.prompts.behaviour import describe_behaviour
from circuits.runs.baselines import contrast_baseline
from circuits.runs.runs import Runs, node_positions
from circuits.workbench import Workbench, open_workbench
from experiments.clinic.labelled_text import LabelledText
from experiments.clinical_reasoning.analyses.ground_truth.contrast import Contrast, drawn, of_equal_length
from experiments.clinical_reasoning.analyses.ground_truth.mean_differences import mean_difference_dictionary
from experiments.clinical_reasoning.analyses.ground_truth.meanings import Meanings
from experiments.clinical_reasoning.analyses.ground_truth.ranked_nodes import ALL, ANSWER, LATE, ranked_by
from experiments.clinical_reasoning.analyses.ground_truth.recall import recall_of
from sae.dictionary.labels import FeatureLabel
from sae.host.sites import Site

SITES = [Site("resid_post", layer) for layer in range(3)]
METHODS = ("attribution_patching", "integrated_gradients")


@pytest.fixture(scope="module")
def host():
    return tiny_llama()


@pytest.fixture(scope="module")
def contrast(host):
    """The first swap of the second word that turns the answer."""
    prompt = "w1 w2 w3 w4"
    for word in range(5, 44):
        other = f"w1 w{word} w3 w4"
        rows = [host.tokenise(text) for text in (prompt, other)]
        own, changed = host.forward(host.batch(rows), logits_to_keep=1).logits[:, -1].argmax(dim=-1).tolist()
        if own != changed:
            return Contrast(prompt, other, {"fever": "cough"})
    raise AssertionError("no word turns the answer of this model")


def bench(host, seed, labels=None):
    saes = {site: random_sae(site=site, seed=seed + i) for i, site in enumerate(SITES)}
    return Workbench(host, saes, {site: (labels or {}).get(site, {}) for site in SITES})


def meanings_of(bases):
    return {name: Meanings.of(basis) for name, basis in bases.items()}


def same(nodes, ranking):
    return all(
        torch.equal(found, wanted)
        for found, wanted in (
            (nodes.site, ranking.site_index),
            (nodes.position, ranking.position),
            (nodes.feature_id, ranking.feature_id),
        )
    )


def test_bases_that_share_gradients_are_ranked_as_each_by_itself(host, contrast):
    bases = {"one": bench(host, 0), "two": bench(host, 10), "neurons": open_workbench(host, basis="neurons")}
    behaviour, found = ranked_by(bases, meanings_of(bases), contrast, METHODS)
    assert set(found) == {(name, method) for name in bases for method in METHODS}
    alone = describe_behaviour(host, contrast.prompt, contrast=contrast.changed_prompt)
    assert (behaviour.target, behaviour.foil) == (alone.target, alone.foil)
    for name, basis in bases.items():
        positions = node_positions(host, alone)
        baseline = contrast_baseline(host, basis.dictionaries, alone.contrast_ids, positions)
        runs = Runs.record(host, alone, basis.dictionaries, baseline)
        for method in METHODS:
            effects = score_nodes(runs, method)
            nodes = found[name, method]
            assert same(nodes, Ranking.by_effect(effects))
            whole = [(e.error_effect.sum() + e.indirect_effect.sum()).item() for e in effects.values()]
            assert nodes.site_effect.tolist() == pytest.approx(whole, abs=1e-4)


def test_a_planted_name_is_recalled_and_one_of_a_feature_that_stays_is_not(host, contrast):
    plain = {"one": bench(host, 0)}
    _, found = ranked_by(plain, meanings_of(plain), contrast, METHODS[:1])
    nodes = found["one", METHODS[0]]
    strongest, moved = int(nodes.feature_id[0]), set(nodes.feature_id[nodes.site == nodes.site[0]].tolist())
    still = next(feature for feature in range(64) if feature not in moved)
    site = SITES[int(nodes.site[0])]
    labels = {site: {strongest: FeatureLabel("pos:fever", 0.9), still: FeatureLabel("pos:cough", 0.9)}}
    named = {"one": bench(host, 0, labels)}
    meanings = Meanings.of(named["one"])
    _, found = ranked_by(named, {"one": meanings}, contrast, METHODS[:1])
    circuits = [found["one", METHODS[0]]]
    planted = recall_of(circuits, meanings, meanings.number("finding", "fever"), ALL, [1, 5], 5)
    assert planted.first == 1
    assert planted.random_differing[0] < 1
    absent = recall_of(circuits, meanings, meanings.number("finding", "cough"), ALL, [1, 5], 5)
    assert absent.is_nameable
    assert not absent.differs
    assert absent.random_differing == (0.0, 0.0)
    assert meanings.number("finding", "chills") is None


def test_groups_are_the_later_sites_and_the_last_token(host, contrast):
    bases = {"one": bench(host, 0)}
    behaviour, found = ranked_by(bases, meanings_of(bases), contrast, METHODS[:1])
    nodes = found["one", METHODS[0]]
    assert nodes.groups[ALL].all()
    assert torch.equal(nodes.groups[LATE], nodes.site == 2)
    assert torch.equal(nodes.groups[ANSWER], nodes.position == len(behaviour.tokens) - 1)


def test_slow_methods_rank_the_same_nodes(host, contrast):
    bases = {"one": bench(host, 0)}
    _, found = ranked_by(bases, meanings_of(bases), contrast, (METHODS[0], "exact"))
    plain, exact = (found["one", method] for method in (METHODS[0], "exact"))
    columns = [(nodes.site, nodes.position, nodes.feature_id) for nodes in (plain, exact)]
    first, second = (torch.stack(each, dim=1).unique(dim=0) for each in columns)
    assert torch.equal(first, second)
    assert len(first) == len(plain)


def test_contrasts_of_another_length_are_left_out(host):
    kept = Contrast("w1 w2", "w1 w3", {})
    assert of_equal_length(host, [kept, Contrast("w1 w2", "w1 w3 w4", {})]) == [kept]
    assert of_equal_length(host, []) == []


def test_draws_keep_their_order():
    assert drawn(random.Random(0), range(5), 9) == [0, 1, 2, 3, 4]
    some = drawn(random.Random(0), range(100), 7)
    assert some == sorted(set(some))
    assert len(some) == 7


def planted_text():
    """Forty tokens, each a unit: ten say fever, ten cough, ten gout alone in its family, ten nothing."""
    truth = torch.zeros(40, 3)
    for column in range(3):
        truth[10 * column : 10 * column + 10, column] = 1
    nothing = torch.zeros(40, dtype=torch.bool)
    rows = (torch.arange(41),)
    return LabelledText(
        rows, rows[0][1:], torch.arange(40), ~nothing, ("pos:cough", "pos:fever", "dx:gout"),
        truth, torch.zeros_like(truth), nothing, nothing,
    )  # fmt: skip


def test_mean_differences_find_planted_directions():
    text = planted_text()
    noise = 0.05 * torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    x = noise + text.truth @ torch.eye(8)[:3] + 3.0
    sae = mean_difference_dictionary(text, x, SITES[0], ["pos", "dx", "none"])
    expected = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]) / 2**0.5
    assert sae.d_sae == 2, "a family of one concept has nothing to be held against"
    torch.testing.assert_close(sae.encoder_rows[:, :2], expected, atol=0.05, rtol=0)
    feature_acts = sae.encode(x)
    assert (feature_acts[:10, 0] > 0.3).all()
    assert (feature_acts[10:20, 0] == 0).all()
    assert torch.equal(sae.decoder_rows, sae.encoder_rows)


def test_mean_differences_need_two_concepts():
    with pytest.raises(ValueError, match="no family of"):
        mean_difference_dictionary(planted_text(), torch.zeros(40, 8), SITES[0], ["dx"])
