"""A circuit of real material: why a small Llama goes on with *she* after a girl and with *he* after a boy.

Its SAEs are trained for the test on stories that it tells. Skipped where its weights are not at hand.
"""

import json

import pytest
import torch

from circuits.discovery import discover
from circuits.effects.node_effects import score_nodes
from circuits.graph.recorded_contexts import recorded_contexts
from circuits.prompts.checked_pairs import check_pairs
from circuits.question import Question
from circuits.verification.verifying import verify
from circuits.workbench import Workbench
from sae.prompt_pairs import read_pairs

pytestmark = pytest.mark.slow

GIRLS, BOYS = ("Lucy", "Jane", "Molly"), ("Jack", "Joe", "Billy", "Fred")


@pytest.fixture(scope="module")
def bench(stories_host, stories_saes):
    return Workbench(stories_host, stories_saes, {site: {} for site in stories_saes})


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Every girl against every boy; all names are of four tokens."""
    text = "There was a little {} named {}. One day,"
    answers = {"clean_answer": "she", "patch_answer": "he"}
    records = [
        {"clean_prefix": text.format("girl", girl), "patch_prefix": text.format("boy", boy), **answers}
        for girl in GIRLS
        for boy in BOYS
    ]
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def circuit(bench, pairs):
    return discover(pairs=pairs, workbench=bench)


def test_the_dictionaries_are_worth_looking_at(bench):
    host = bench.host
    told = host.generate(
        host.batch([host.tokenise("Once upon a time")] * 32), max_new_tokens=100, do_sample=True, seed=9
    )
    batch = host.batch(list(told))
    for site, sae in bench.dictionaries.items():
        x = host.capture(batch, [site])[site][batch.node_mask]
        feature_acts = sae.encode(x)
        unexplained = (x - sae.decode(feature_acts)).square().sum() / (x - x.mean(dim=0)).square().sum()
        assert 8 < (feature_acts > 0).sum(dim=1).float().mean() < 16, str(site)
        assert 1 - unexplained > 0.85, str(site)


def test_the_model_answers_every_pair(bench, pairs):
    found = check_pairs(bench.host, read_pairs(pairs))
    assert (found.n_pairs, found.unusable, found.excluded) == (12, {}, {})


@pytest.mark.parametrize(("method", "least"), [("attribution_patching", 0.75), ("integrated_gradients", 0.85)])
def test_attribution_agrees_with_exact_patching(bench, pairs, method, least):
    ensemble, _ = Question(pairs=pairs).runs(bench, baseline=None, seed=0)
    for runs in ensemble.runs[::5]:
        exact, estimated = (score_nodes(runs, name) for name in ("exact", method))
        both = [torch.cat([effects[site].indirect_effect for site in runs.sites]) for effects in (estimated, exact)]
        assert len(both[0]) > 200
        assert torch.corrcoef(torch.stack(both))[0, 1] > least


def test_the_circuit_keeps_the_behaviour_and_random_features_do_not(circuit):
    assert circuit.faithfulness.value > 0.7
    assert circuit.faithfulness.low > 0.6
    assert circuit.faithfulness.n_nodes <= 200
    assert abs(circuit.faithfulness.null) < 0.1


def test_measured_effects_have_the_signs_of_their_estimates(bench, circuit):
    nodes = [node for node in verify(circuit, workbench=bench).circuit.nodes if node.exact_effect is not None]
    same = [node.indirect_effect * node.exact_effect > 0 for node in nodes]
    assert len(same) == 50
    assert sum(same) >= 45
    assert all(same[:20])


def test_the_strongest_feature_tells_girls_from_boys(circuit):
    node = circuit.features[0]
    assert node.contribution > 0
    responses = {True: 0.0, False: 0.0}
    for context in recorded_contexts(circuit)[f"{node.site}/{node.feature}"]:
        responses["girl" in "".join(context.tokens)] += max(context.activations)
    assert responses[True] > 4 * responses[False], responses
