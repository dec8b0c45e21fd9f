"""Edges within a layer, token by token and with attention in closed form, against products of the whole prompt."""

import pytest
import torch
from circuit_cases import contrast_runs, resample_runs, saes_at
from tiny_models import FAMILY_SETTINGS, random_sae, random_transcoder, tiny_family

from circuits.effects.edge_effects import edge_effects
from circuits.effects.gap_edges import gap_effects
from circuits.effects.linear_effect import EdgeSource, EdgeTarget
from circuits.effects.node_effects import score_nodes
from circuits.effects.node_table import NodeTable, node_changes
from circuits.effects.target_rows import target_rows
from circuits.prompts.behaviour import describe_behaviour
from circuits.runs.baselines import contrast_baseline
from circuits.runs.runs import Runs, node_positions
from experiments.benchmarks.edge_speed import agreement, every_pair, strongest_nodes
from sae.host.blocks import block_between
from sae.host.sites import Site


def family_runs(name: str, kinds: tuple[str, ...], **dictionaries) -> Runs:
    host = tiny_family(name)
    chosen = [site for site in host.sites if site.kind in kinds]
    saes = {site: random_sae(32, 64, site, seed=i) for i, site in enumerate(chosen)}
    saes |= {Site("mlp_out", layer): random_transcoder(layer) for layer in dictionaries.get("transcoders", ())}
    about = describe_behaviour(host, "w1 w2 w3 w4 w5 w6 w8", contrast="w1 w2 w7 w4 w5 w6 w8", target="w20", foil="w9")
    baseline = contrast_baseline(host, saes, about.contrast_ids, node_positions(host, about))
    return Runs.record(host, about, dict(sorted(saes.items())), baseline)


def by_whole_prompt(runs: Runs, effects, nodes):
    """Every edge by products that run through all tokens."""
    targets = []
    for site, table in nodes.items():
        parents = [parent for parent in runs.host.parents(site, runs.sites) if parent in nodes]
        sources = {
            parent: EdgeSource(
                nodes[parent],
                node_changes(runs, parent, nodes[parent]).mean(dim=0),
                block_between(parent, site, runs.sites, runs.host.family),
            )
            for parent in parents
        }
        if sources:
            targets.append(EdgeTarget(site, table, target_rows(runs, site, table, effects[site].gradient), sources))
    return gap_effects(runs, targets)


def check(runs: Runs, *, some_attention: bool = True) -> None:
    effects = score_nodes(runs, "attribution_patching")
    nodes = strongest_nodes(runs, effects, 10, 3)
    found, expected = edge_effects(runs, effects, nodes), by_whole_prompt(runs, effects, nodes)
    assert found.keys() == expected.keys()
    strongest = max(effect.total.abs().max() for effect in expected.values())
    for pair, effect in expected.items():
        assert (found[pair].total - effect.total).abs().max() < 1e-5 * strongest, pair
        assert (found[pair].by_value is None) == (effect.by_value is None), pair
        if effect.by_value is not None:
            assert (found[pair].by_value - effect.by_value).abs().max() < 1e-5 * strongest, pair
    if some_attention:
        mixing = [effect for effect in found.values() if effect.by_value is not None]
        assert max((effect.total - effect.by_value).abs().max() for effect in mixing) > 1e-3 * strongest


@pytest.mark.parametrize("kinds", [("embed", "attn_out", "mlp_out", "resid_post"), ("embed", "resid_post")])
@pytest.mark.parametrize("family", [name for name in FAMILY_SETTINGS if name != "gemma3"])
def test_every_family_gives_what_products_of_the_whole_prompt_give(family, kinds):
    check(family_runs(family, kinds))


def test_the_family_that_holds_no_pattern_for_whole_prompts_gives_what_pairs_of_sites_give():
    runs = family_runs("gemma3", ("embed", "attn_out", "mlp_out", "resid_post"))
    effects = score_nodes(runs, "attribution_patching")
    nodes = strongest_nodes(runs, effects, 10, 3)
    found = {pair: effect.total for pair, effect in edge_effects(runs, effects, nodes).items()}
    assert agreement(found, every_pair(runs.host._model, runs, effects, nodes)) < 1e-5


@pytest.mark.parametrize("make_runs", [contrast_runs, resample_runs])
@pytest.mark.parametrize(
    "kinds",
    [("resid_post",), ("attn_out", "resid_post"), ("mlp_out", "resid_post"), ("embed", "mlp_out"), ("attn_out",)],
)
def test_any_choice_of_sites_gives_it_too(make_runs, kinds):
    check(make_runs(saes_at(*kinds)))


def test_the_first_layer_needs_no_dictionary_at_the_embedding():
    first = {site: sae for site, sae in saes_at("attn_out", "mlp_out").items() if site.layer == 0}
    check(contrast_runs(first), some_attention=False)


@pytest.mark.parametrize("kinds", [("attn_out", "resid_post"), ("resid_post",)])
def test_transcoders_are_read_where_they_read(kinds):
    check(family_runs("llama", kinds, transcoders=(0, 1, 2)))


def test_a_narrow_host_is_computed_in_float32():
    runs = family_runs("llama", ("embed", "attn_out", "mlp_out", "resid_post"))
    effects = score_nodes(runs, "attribution_patching")
    nodes = strongest_nodes(runs, effects, 6, 2)
    runs.host._model.bfloat16()
    narrow = edge_effects(runs, effects, nodes)
    runs.host._model.float()
    rounded = edge_effects(runs, effects, nodes)
    for pair, effect in narrow.items():
        assert effect.total.dtype == torch.float32
        torch.testing.assert_close(effect.total, rounded[pair].total)


def test_a_site_without_nodes_has_no_edges():
    runs = contrast_runs(saes_at("resid_post"))
    effects = score_nodes(runs, "attribution_patching")
    [site] = [site for site in runs.sites if site.layer == 1]
    only = {site: NodeTable(torch.tensor([2]), torch.tensor([0]))}
    assert edge_effects(runs, effects, only) == {}
