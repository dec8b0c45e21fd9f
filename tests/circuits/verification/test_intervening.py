"""Interventions against plain edits of the stream, and against each other."""

import pytest
import torch
from circuit_cases import behaviour, contrast_runs, host, resample_runs, saes_at

from circuits.effects.node_effects import score_nodes
from circuits.graph.node import Node
from circuits.runs.ensemble import Ensemble
from circuits.verification.intervening import run_interventions
from circuits.verification.interventions import parse_interventions
from circuits.verification.measured_nodes import measure_nodes
from circuits.verification.random_twins import random_twins


def after(runs, operation: str, *texts: str):
    return run_interventions(Ensemble.lone(runs), parse_interventions(operation, texts))


def plain(runs, site, shift):
    run = host().forward(runs.batch, {site: lambda x: x + shift}, logits_to_keep=runs.behaviour.kept_logits)
    return runs.behaviour.metric(run.logits)[0].item(), run.logits[0, 0].log_softmax(-1)


@pytest.mark.parametrize(
    ("operation", "suffix", "new"), [("set", "=2.5", 2.5), ("scale", "=3", None), ("ablate", "", 0)]
)
def test_an_intervention_is_a_plain_edit(operation, suffix, new):
    runs = contrast_runs(saes_at("resid_post"))
    site = runs.sites[1]
    active = runs.clean_features[site]
    p, f, value = int(active.position[0]), int(active.feature_id[0]), active.value[0].item()
    shift = torch.zeros(1, 6, 32)
    shift[0, p] = ((3 * value if new is None else new) - value) * runs.dictionaries[site].decoder_rows[f]
    expected, log_probs = plain(runs, site, shift)
    found = after(runs, operation, f"{site}/{f}@{p}{suffix}")
    assert found.metric_before == pytest.approx(runs.clean_metric)
    assert found.metric_after == pytest.approx(expected, abs=1e-5)
    old = host().forward(runs.batch, logits_to_keep=1).logits[0, 0].log_softmax(-1)
    assert found.kl == pytest.approx((old.exp() * (old - log_probs)).sum().item(), abs=1e-5)
    for token, before, now in found.tokens:
        index = host().tokenizer.convert_tokens_to_ids(token)
        assert (before, now) == pytest.approx((old[index].exp().item(), log_probs[index].exp().item()), abs=1e-5)


@pytest.mark.parametrize("make_runs", [contrast_runs, resample_runs])
def test_to_baseline_is_the_measured_effect(make_runs):
    runs = make_runs(saes_at("resid_post"))
    site, scored = next(iter(score_nodes(runs).items()))
    nodes = [
        Node(site, int(scored.position[0]), int(scored.feature_id[0]), "t", 0.0, 0.0, 0.0),
        Node(site, 3, None, "t", 0.0, 0.0, 0.0),
    ]
    for node, effect in zip(nodes, measure_nodes(Ensemble.lone(runs), nodes).tolist(), strict=True):
        found = after(runs, "to_baseline", node.id)
        assert found.metric_after - found.metric_before == pytest.approx(effect, abs=1e-4)


def test_everywhere_is_every_position_and_one_times_a_node_is_nothing():
    runs = contrast_runs(saes_at("resid_post"), behaviour(target="w8 w3", foil="w9"))
    site = runs.sites[0]
    feature = int(runs.clean_features[site].feature_id[0])
    each = after(runs, "ablate", *(f"{site}/{feature}@{p}" for p in range(1, 6)))
    assert after(runs, "ablate", f"{site}/{feature}@*").metric_after == pytest.approx(each.metric_after, abs=1e-6)
    same = after(runs, "scale", f"{site}/{feature}@*=1", f"{site}/error@*=1")
    assert (same.metric_after, same.kl) == pytest.approx((same.metric_before, 0.0), abs=1e-6)


@pytest.mark.parametrize(
    ("operation", "text", "message"),
    [
        ("set", "resid_post.1/3@2", "expected NODE=VALUE"),
        ("ablate", "resid_post.1/3@2=4", "expected NODE alone"),
        ("set", "resid_post.1/error@2=4", "names an error"),
        ("scale", "resid_post.1/3@2=nan", "expected a finite number"),
        ("ablate", "resid_post.1/64@2", "expected a feature below 64"),
        ("ablate", "resid_post.1/3@6", "expected a position below 6"),
        ("ablate", "resid_post.1/3@0", "carries no nodes"),
        ("ablate", "mlp_out.1/3@2", "has no dictionary"),
        ("ablate", "resid_post.1/3", "is malformed"),
    ],
)
def test_what_cannot_be_done_is_said(operation, text, message):
    runs = contrast_runs(saes_at("resid_post"))
    with pytest.raises(ValueError, match=message):
        after(runs, operation, text)


def test_interventions_that_meet_are_refused():
    runs = contrast_runs(saes_at("resid_post"))
    with pytest.raises(ValueError, match="meet, expected one intervention on a node"):
        after(runs, "ablate", "resid_post.1/3@2", "resid_post.1/3@*")
    with pytest.raises(ValueError, match="no intervention was given"):
        after(runs, "ablate")


def test_the_interval_is_over_references_and_none_for_one_run():
    several, single = resample_runs(saes_at("resid_post")), contrast_runs(saes_at("resid_post"))
    active = several.clean_features[several.sites[0]]
    node = f"{several.sites[0]}/{int(active.feature_id[0])}@{int(active.position[0])}"
    found = after(several, "to_baseline", node)
    low, high = found.interval
    assert low < found.metric_after - found.metric_before < high
    assert after(several, "ablate", node).interval is None
    assert after(single, "to_baseline", node).interval is None


def test_the_null_acts_on_other_features_that_are_active_there():
    runs = contrast_runs(saes_at("resid_post"))
    ensemble, site = Ensemble.lone(runs), runs.sites[1]
    active = runs.clean_features[site]
    here = active.feature_id[active.position == 3].tolist()
    own = parse_interventions("ablate", [f"{site}/{feature}@3" for feature in here[:2]])
    drawn = random_twins(ensemble, own, n_draws=20, seed=0)
    assert len(drawn) == 20
    for twins in drawn:
        features = {twin.feature for twin in twins}
        assert len(features) == 2
        assert features <= set(here[2:])
        assert {(twin.site, twin.position, twin.operation) for twin in twins} == {(site, 3, "ablate")}


def test_there_is_no_null_of_errors_or_of_all_that_is_active():
    runs = contrast_runs(saes_at("resid_post"))
    site = runs.sites[1]
    active = runs.clean_features[site]
    assert after(runs, "ablate", f"{site}/error@3").null is None
    every = [f"{site}/{feature}@3" for feature in active.feature_id[active.position == 3].tolist()]
    assert after(runs, "ablate", *every).null is None
    assert after(runs, "scale", f"{site}/{int(active.feature_id[0])}@*=1").null == pytest.approx(0, abs=1e-6)
