"""Edges among a circuit's features: the curve ends where the nodes are."""

import pytest
from circuit_cases import behaviour, contrast_runs, saes_at

from circuits.effects.ensemble_effects import score_ensemble
from circuits.evaluation.edge_curves import measure_edges
from circuits.evaluation.masked_runs import ensemble_metrics
from circuits.evaluation.scale import Scale
from circuits.evaluation.selection import Ranking
from circuits.graph.circuit import Circuit
from circuits.graph.measurement import MetricValues
from circuits.runs.ensemble import Ensemble
from circuits.runs.node_set import NodeSet
from circuits.runs.places import token_places


def lone() -> Ensemble:
    return Ensemble.lone(contrast_runs(saes_at("resid_post")))


def twins() -> Ensemble:
    runs = contrast_runs(saes_at("resid_post"))
    return Ensemble((runs, runs), token_places([runs.behaviour.tokens] * 2))


def without_edges(ensemble: Ensemble) -> Circuit:
    behaviour = ensemble.first.behaviour
    return Circuit(
        prompt=behaviour.prompt,
        tokens=behaviour.tokens,
        target="a",
        foil="b",
        method="integrated_gradients",
        baseline="contrast",
        metric=MetricValues(1.0, 0.0),
        nodes=[],
        edges=[],
        faithfulness=None,
        site_residuals=None,
        provenance={},
    )


@pytest.mark.parametrize("make", [lone, twins])
def test_all_edges_are_the_nodes_and_none_is_what_is_listed(make):
    ensemble = make()
    effects = score_ensemble(ensemble)
    nodes = Ranking.by_effect(effects.at_places).top(20)
    empty, kept = ensemble_metrics(ensemble, [NodeSet({}), nodes])
    scale = Scale.of(ensemble, empty)
    found = measure_edges(ensemble, effects, without_edges(ensemble), nodes, scale)
    assert found["grid"][-1]["n_edges"] == found["n_edges"] > 0
    expected = scale.shares(kept[None])[0].item()
    assert found["grid"][-1]["signed"]["value"] == pytest.approx(expected, abs=1e-4)
    assert found["grid"][-1]["absolute"]["value"] == pytest.approx(expected, abs=1e-4)
    assert found["circuit"]["n_edges"] == 0


def test_features_without_edges_have_no_curve():
    ensemble = lone()
    effects = score_ensemble(ensemble)
    ranking = Ranking.by_effect(effects.at_places)
    nodes = ranking.top(1)
    scale = Scale.of(ensemble, ensemble_metrics(ensemble, [NodeSet({})])[0])
    assert measure_edges(ensemble, effects, without_edges(ensemble), nodes, scale) is None


def test_edge_areas_do_not_depend_on_which_answer_is_called_the_target():
    found = []
    about = behaviour()
    other = behaviour(target=about.foil.text.strip(), foil=about.target.text.strip())
    for asked in (about, other):
        ensemble = Ensemble.lone(contrast_runs(saes_at("resid_post"), asked))
        effects = score_ensemble(ensemble)
        nodes = Ranking.by_effect(effects.at_places).top(20)
        scale = Scale.of(ensemble, ensemble_metrics(ensemble, [NodeSet({})])[0])
        found.append(measure_edges(ensemble, effects, without_edges(ensemble), nodes, scale))
    assert found[0]["cpr"]["value"] == pytest.approx(found[1]["cpr"]["value"], abs=1e-4)
    assert found[0]["cmd"]["value"] == pytest.approx(found[1]["cmd"]["value"], abs=1e-4)
