"""Moved nodes against the interventions of circuits, against plain edits, and in their degenerate cases."""

import pytest
import torch
from circuit_cases import host
from mediation_cases import PROMPTS, asked, everywhere, pair, workbench

from circuits.runs.ensemble import Ensemble
from circuits.verification.intervening import run_interventions
from circuits.verification.interventions import parse_interventions
from experiments.clinical_reasoning.asked_pairs import ask
from experiments.clinical_reasoning.patching import ERROR, FEATURES, WHOLE, Moves, moved_metrics


def test_a_pair_is_asked_as_the_model_would_be():
    each = asked()[1]
    assert each.is_right
    assert each.mention.tolist() == each.changed_mention.tolist() == each.differing.tolist() == [3]
    run = host().forward(host().batch([each.ids]), logits_to_keep=1).logits[0, -1]
    assert each.metric == pytest.approx((run[each.target] - run[each.foil]).item(), abs=1e-5)
    assert each.runs(host(), workbench().dictionaries).clean_metric == pytest.approx(each.metric, abs=1e-4)
    assert each.reversed.total_effect == -each.total_effect
    with pytest.raises(ValueError, match="expected as many; reword or drop the pair"):
        ask(host(), [pair(*PROMPTS[0]), pair("w1 w2", "w1 w3 w4")])


@pytest.mark.parametrize("kind", ["feature", "error"])
def test_moved_nodes_are_what_an_intervention_does(kind):
    """The slow reference: one pair, one set of nodes, one run."""
    tools, pairs = workbench(), asked()
    patches, expected = [], []
    for index, each in enumerate(pairs):
        runs = each.runs(host(), tools.dictionaries)
        patch, names = {}, []
        for site in runs.sites:
            active = runs.baseline.features[site]
            position, feature = active.position[-3:], active.feature_id[-3:]
            if kind == "error":
                position, feature = torch.tensor([3]), torch.tensor([ERROR])
            patch[site] = Moves(position, feature)
            ids = ["error" if f == ERROR else f for f in feature.tolist()]
            names += [f"{site}/{f}@{p}" for f, p in zip(ids, position.tolist(), strict=True)]
        patches.append((index, patch))
        found = run_interventions(Ensemble.lone(runs), parse_interventions("to_baseline", names))
        expected.append(found.metric_after)
    assert moved_metrics(tools, pairs, patches).tolist() == pytest.approx(expected, abs=1e-4)
    assert moved_metrics(tools, pairs, patches).tolist() != pytest.approx([each.metric for each in pairs], abs=1e-4)


def test_everything_moved_is_the_other_prompt_and_nothing_moved_is_the_prompt():
    tools, pairs = workbench(), asked()
    first = next(iter(tools.dictionaries))
    both = torch.tensor([FEATURES, ERROR])
    patches = [
        (i, patch)
        for i, each in enumerate(pairs)
        for patch in (
            {},
            {first: Moves.everywhere(everywhere(each), torch.tensor([WHOLE]))},
            {site: Moves.everywhere(everywhere(each), both) for site in tools.dictionaries},
        )
    ]
    metrics = moved_metrics(tools, pairs, patches).unflatten(0, (len(pairs), 3))
    assert metrics[:, 0].tolist() == pytest.approx([each.metric for each in pairs], abs=1e-4)
    for column in (1, 2):
        assert metrics[:, column].tolist() == pytest.approx([each.changed_metric for each in pairs], abs=1e-4)
    assert len(moved_metrics(tools, pairs, [])) == 0


def test_a_change_made_elsewhere_is_as_long_as_the_features_own():
    tools, [each, *_] = workbench(), asked()
    site = list(tools.dictionaries)[1]
    sae = tools.dictionaries[site]
    own, other = (host().capture(host().batch([ids]), [site])[site][0] for ids in (each.ids, each.changed_ids))
    change = sae.encode(other[2]) - sae.encode(own[4])
    feature, along = int(change.abs().argmax()), 5
    sae.decoder_rows[along] *= 3
    try:
        moves = Moves(*(torch.tensor([n]) for n in (4, feature, 2, 3, along)))
        shift = torch.zeros(len(each.ids), 32)
        shift[3] = change[feature] * torch.nn.functional.normalize(sae.decoder_rows[along], dim=0)
        run = host().forward(host().batch([each.ids]), {site: lambda x: x + shift}, logits_to_keep=1)
        expected = each.metric_of(run.logits[0, -1]).item()
        assert moved_metrics(tools, [each], [(0, {site: moves})])[0].item() == pytest.approx(expected, abs=1e-4)
    finally:
        sae.decoder_rows[along] /= 3


def test_latents_turned_off_are_what_an_ablation_does():
    tools, [each, *_] = workbench(), asked()
    runs = each.runs(host(), tools.dictionaries)
    patch, names = {}, []
    for site in runs.sites:
        active = runs.clean_features[site]
        patch[site] = Moves(active.position[-3:], active.feature_id[-3:], to_zero=True)
        columns = active.feature_id[-3:].tolist(), active.position[-3:].tolist()
        names += [f"{site}/{f}@{p}" for f, p in zip(*columns, strict=True)]
    found = run_interventions(Ensemble.lone(runs), parse_interventions("ablate", names))
    assert moved_metrics(tools, [each], [(0, patch)])[0].item() == pytest.approx(found.metric_after, abs=1e-4)
