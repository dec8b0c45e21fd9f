"""Measured edges, and the two paths of attention, against one pass of the model for each source node."""

import pytest
import torch
from circuit_cases import contrast_runs, host, resample_runs, saes_at
from plain_hooks import plain_hooks, plain_logits
from tiny_models import random_sae, tiny_family

from circuits.effects.edge_effects import ERROR, edge_effects, score_edges
from circuits.effects.node_effects import score_nodes
from circuits.prompts.behaviour import describe_behaviour
from circuits.runs.baselines import contrast_baseline
from circuits.runs.runs import Runs, node_positions
from experiments.benchmarks.edge_speed import agreement, every_pair, strongest_nodes
from sae.dictionary.autoencoder import SAE
from sae.host.blocks import Block, block_between
from sae.host.sites import Site

KINDS = ("embed", "attn_out", "mlp_out", "resid_post")


def totals(runs: Runs, effects, nodes):
    return {pair: effect.total for pair, effect in edge_effects(runs, effects, nodes).items()}


def arrives(runs: Runs, source: Site, x, target: Site):
    """What arrives at the target with the source at `x` and every other site at its clean value, by forward hooks."""
    found = {}
    n = runs.n_positions
    visits = {site: lambda _, site=site: runs.clean[site][:1, :n] for site in runs.sites if site != target}
    visits |= {source: lambda _: x[None], target: lambda live: found.update(live=live[0])}
    with torch.no_grad(), plain_hooks(runs.host._model, visits):
        plain_logits(runs.host._model, runs.host.batch([runs.behaviour.prompt_ids]))
    return found["live"]


def slow_exact(runs: Runs, effects, source, target) -> float:
    """One edge, one reference at a time."""
    (source_site, p, u), (target_site, q, d) = source, target
    sae_u, sae_d, n = runs.dictionaries[source_site], runs.dictionaries[target_site], runs.n_positions
    clean, gradient = runs.clean[source_site][0, :n], effects[target_site].gradient[q]
    measured = []
    for base in runs.baseline.activations[source_site]:
        f_change = sae_u.encode(base[p]) - sae_u.encode(clean[p])
        x = clean.clone()
        x[p] += base[p] - clean[p] - f_change @ sae_u.W_dec if u == ERROR else f_change[u] * sae_u.W_dec[u]
        before, after = (arrives(runs, source_site, v, target_site)[q] for v in (clean, x))
        f_before, f_after = sae_d.encode(before), sae_d.encode(after)
        if d == ERROR:
            moved = after - sae_d.decode(f_after) - before + sae_d.decode(f_before)
            measured.append((moved @ gradient).item())
        else:
            measured.append(((f_after - f_before)[d] * (sae_d.W_dec[d] @ gradient)).item())
    return sum(measured) / len(measured)


@pytest.mark.parametrize("make_runs", [contrast_runs, resample_runs])
@pytest.mark.parametrize("kinds", [KINDS, ("resid_post",), ("attn_out", "mlp_out")])
def test_exact_edges_are_what_one_pass_for_each_measures(make_runs, kinds):
    runs = make_runs(saes_at(*kinds))
    effects = score_nodes(runs, "attribution_patching")
    edges = score_edges(runs, effects, strongest_nodes(runs, effects, 4, 2), exact=True)
    by_ends: dict[tuple, list] = {}
    for edge in edges:
        ends = edge.source[0], edge.source[2] == ERROR, edge.target[0], edge.target[2] == ERROR
        by_ends.setdefault(ends, []).append(edge)
    for some in by_ends.values():
        for edge in some[:2]:
            expected = slow_exact(runs, effects, edge.source, edge.target)
            assert edge.exact_effect == pytest.approx(expected, abs=2e-5, rel=1e-3), edge


def test_linear_edges_are_exact_where_the_block_is_a_sum_and_no_feature_switches():
    saes = saes_at(*KINDS)
    target = Site.parse("resid_post.1")
    parts = {"W_enc": "encoder_rows", "W_dec": "decoder_rows", "b_dec": "b_dec", "threshold": "threshold"}
    weights = {
        parts[name]: x.T if name == "W_enc" else x for name, x in saes[target].tensors().items() if name in parts
    }
    saes[target] = SAE(**weights, b_enc=torch.full((64,), 30.0), site=target)
    runs = contrast_runs(saes)
    effects = score_nodes(runs, "attribution_patching")
    edges = score_edges(runs, effects, strongest_nodes(runs, effects, 8, 2), exact=True)
    into = [edge for edge in edges if edge.target[0] == target]
    assert len(into) > 10
    for edge in into:
        assert edge.exact_effect == pytest.approx(edge.effect, abs=2e-4, rel=1e-3)


def test_edges_are_not_measured_unless_asked():
    runs = contrast_runs(saes_at("resid_post"))
    effects = score_nodes(runs, "attribution_patching")
    assert all(e.exact_effect is None for e in score_edges(runs, effects, strongest_nodes(runs, effects, 4, 1)))


def frozen_attention_model(module, pattern):
    """Attention whose softmax is replaced by a fixed pattern: its values path in plain torch."""

    def forward(x):
        batch, seq, _ = x.shape
        values = module.v_proj(x).view(batch, seq, -1, module.head_dim).transpose(1, 2)
        values = values.repeat_interleave(module.num_key_value_groups, dim=1)
        return module.o_proj((pattern @ values).transpose(1, 2).reshape(batch, seq, -1))

    return forward


def test_the_value_path_is_attention_with_its_pattern_fixed():
    runs = contrast_runs(saes_at(*KINDS))
    graph = runs.host.cut_graph(runs.batch, runs.sites, frozen_attention=True)
    source, target = Site.parse("resid_post.0"), Site.parse("attn_out.1")
    layer = host()._model.model.layers[1]
    x = runs.clean[source].clone()
    positions = host()._model.model.rotary_emb(x, runs.batch.position_ids)
    q, k = (
        projection(layer.input_layernorm(x)).view(1, x.shape[1], -1, 8).transpose(1, 2)
        for projection in (layer.self_attn.q_proj, layer.self_attn.k_proj)
    )
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    q, k = apply_rotary_pos_emb(q, k, *positions)
    scores = q @ k.repeat_interleave(2, dim=1).transpose(-1, -2) / 8**0.5
    pattern = scores.masked_fill(torch.ones_like(scores[0, 0]).triu(1).bool(), float("-inf")).softmax(-1).detach()
    leaf = x.requires_grad_(True)
    expected_out = frozen_attention_model(layer.self_attn, pattern)(layer.input_layernorm(leaf))
    torch.testing.assert_close(graph.inputs[target], expected_out, atol=1e-5, rtol=1e-4)
    cotangent = torch.randn_like(x)
    found = torch.autograd.grad(graph.inputs[target], graph.leaves[source], cotangent)[0]
    expected = torch.autograd.grad(expected_out, leaf, cotangent)[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_the_two_paths_of_attention_sum_to_the_linear_edge():
    runs = contrast_runs(saes_at(*KINDS))
    effects = score_nodes(runs, "attribution_patching")
    edges = score_edges(runs, effects, strongest_nodes(runs, effects, 6, 2))
    for edge in edges:
        if edge.target[0].kind != "attn_out":
            assert edge.value_effect is edge.query_key_effect is None
            continue
        assert edge.value_effect + edge.query_key_effect == pytest.approx(edge.effect, abs=1e-6)
    across = [e for e in edges if e.target[0].kind == "attn_out"]
    assert max(abs(e.value_effect) for e in across) > 1e-4 < max(abs(e.query_key_effect) for e in across)


@pytest.mark.parametrize(
    "names",
    [
        ("resid_post.0", "resid_post.2"),
        ("embed", "attn_out.1", "mlp_out.1", "resid_post.2"),
        ("attn_out.0", "resid_post.0", "mlp_out.2"),
        ("mlp_out.0", "attn_out.1", "mlp_out.2", "resid_post.2"),
    ],
)
def test_sites_at_some_layers_only_equal_the_pairwise_form(names):
    saes = {Site.parse(name): random_sae(32, 64, Site.parse(name), seed=i) for i, name in enumerate(names)}
    runs = contrast_runs(saes)
    effects = score_nodes(runs, "attribution_patching")
    nodes = strongest_nodes(runs, effects, 8, 3)
    expected = every_pair(host()._model, runs, effects, nodes)
    assert agreement(totals(runs, effects, nodes), expected) < 1e-5


def test_parallel_attention_has_no_edge_to_the_mlp():
    parallel = tiny_family("gpt_neox")
    saes = {site: random_sae(parallel.d_model, 64, site, seed=i) for i, site in enumerate(parallel.sites)}
    about = describe_behaviour(parallel, "w1 w2 w3 w4 w5", contrast="w1 w2 w7 w4 w5", foil="w9")
    baseline = contrast_baseline(parallel, saes, about.contrast_ids, node_positions(parallel, about))
    runs = Runs.record(parallel, about, saes, baseline)
    effects = score_nodes(runs, "attribution_patching")
    nodes = strongest_nodes(runs, effects, 6, 2)
    edges = score_edges(runs, effects, nodes, exact=True)
    assert not [e for e in edges if (e.source[0].kind, e.target[0].kind) == ("attn_out", "mlp_out")]
    assert agreement(totals(runs, effects, nodes), every_pair(parallel._model, runs, effects, nodes)) < 1e-5


@pytest.mark.parametrize(
    ("source", "target", "among", "expected"),
    [
        ("resid_post.0", "resid_post.1", KINDS, Block(True, False)),
        ("resid_post.0", "resid_post.1", ("resid_post",), Block(False, True)),
        ("resid_post.0", "resid_post.1", ("resid_post", "attn_out"), Block(False, False)),
        ("attn_out.1", "resid_post.1", ("resid_post", "attn_out"), Block(False, False)),
        ("attn_out.1", "resid_post.1", KINDS, Block(True, False)),
        ("attn_out.1", "mlp_out.1", KINDS, Block(False, False)),
        ("resid_post.0", "attn_out.1", KINDS, Block(False, True)),
        ("mlp_out.0", "mlp_out.1", ("mlp_out",), Block(False, True)),
    ],
)
def test_what_lies_between_two_sites(source, target, among, expected):
    sites = [site for site in host().sites if site.kind in among]
    assert block_between(Site.parse(source), Site.parse(target), sites, host().family) == expected
