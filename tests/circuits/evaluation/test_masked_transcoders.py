"""Circuits of transcoder features, against plain torch hooks on the MLP."""

from collections.abc import Mapping

import pytest
import torch
from circuit_cases import behaviour, contrast_runs, dense, host, saes_at
from tiny_models import random_transcoder

from circuits.effects.node_effects import score_nodes, site_residuals
from circuits.evaluation.kept_share import faithfulness
from circuits.evaluation.masked_runs import ALL_FEATURES, masked_metrics
from circuits.evaluation.selection import Ranking
from circuits.runs.baselines import mean_baseline, zero_baseline
from circuits.runs.node_set import NodeSet
from circuits.runs.runs import Runs, node_positions
from sae.dictionary.autoencoder import SAE
from sae.dictionary.transcoder import Transcoder
from sae.host.sites import Site


def transcoders(*, skip: bool = False) -> dict[Site, Transcoder]:
    """One at every MLP."""
    return {Site("mlp_out", layer): random_transcoder(layer, seed=layer, skip=skip) for layer in range(3)}


def mixed() -> dict[Site, SAE]:
    """Transcoders at the MLPs, SAEs at attention and in the stream."""
    found = saes_at("attn_out", "resid_post") | transcoders(skip=True)
    return {site: found[site] for site in sorted(found)}


def baseline_of_features(runs: Runs, site: Site) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of the contrast, and what they leave of its activation."""
    dictionary = runs.dictionaries[site]
    read = runs.baseline.activations[dictionary.input_site or site][0]
    f_base = dictionary.encode(read) * runs.at_nodes[:, None]
    return f_base, runs.baseline.activations[site][0] - dictionary.decode(f_base)


def plain_masked_metric(runs: Runs, kept: Mapping[Site, torch.Tensor]) -> float:
    """m with every node outside `kept` at its baseline; by hooks alone, inputs of MLPs noted as they pass."""
    model, noted, handles = host()._model, {}, []

    def note(site):
        return lambda _, inputs: noted.update({site: inputs[0]})

    def replace(site):
        dictionary = runs.dictionaries[site]
        f_base, e_base = baseline_of_features(runs, site)

        def hook(_, __, output):
            x = output[0] if isinstance(output, tuple) else output
            features = torch.where(kept[site], dictionary.encode(noted.get(site, x)), f_base)
            new = torch.where(runs.at_nodes[:, None], dictionary.decode(features) + e_base, x)
            return (new, *output[1:]) if isinstance(output, tuple) else new

        return hook

    for site, dictionary in runs.dictionaries.items():
        layer = model.model.layers[site.layer]
        module = {"attn_out": layer.self_attn, "mlp_out": layer.mlp, "resid_post": layer}[site.kind]
        if dictionary.input_site is not None:
            handles.append(module.register_forward_pre_hook(note(site)))
        handles.append(module.register_forward_hook(replace(site)))
    with torch.no_grad():
        logits = model(input_ids=runs.batch.ids, use_cache=False).logits
    for handle in handles:
        handle.remove()
    return runs.behaviour.metric(logits[:, -1:])[0].item()


def as_masks(runs: Runs, circuit: NodeSet | None) -> dict[Site, torch.Tensor]:
    masks = {}
    for site, dictionary in runs.dictionaries.items():
        masks[site] = torch.full((runs.n_positions, dictionary.d_sae), circuit is ALL_FEATURES)
        if circuit is not ALL_FEATURES and site in circuit.nodes:
            masks[site][circuit.nodes[site]] = True
    return masks


@pytest.mark.parametrize("dictionaries", [transcoders(), transcoders(skip=True), mixed()], ids=["tc", "skip", "mixed"])
def test_masked_runs_encode_what_the_mlp_reads_on_the_current_stream(dictionaries):
    runs = contrast_runs(dictionaries)
    ranking = Ranking.by_effect(score_nodes(runs))
    circuits = [NodeSet({}), ranking.top(3), ranking.top(30), ranking.random(20, seed=1), ALL_FEATURES]
    found = masked_metrics(runs, circuits)[:, 0].tolist()
    expected = [plain_masked_metric(runs, as_masks(runs, circuit)) for circuit in circuits]
    assert found == pytest.approx(expected, abs=1e-4)
    assert len({round(value, 3) for value in found}) >= 3


@pytest.mark.parametrize("skip", [False, True])
def test_transcoders_without_features_keep_nothing_whatever_their_skip_path_carries(skip):
    empty = transcoders(skip=skip)
    for transcoder in empty.values():
        transcoder.decoder_rows.zero_()
    runs = contrast_runs(empty)
    metrics = masked_metrics(runs, [NodeSet({}), ALL_FEATURES])
    assert faithfulness(metrics, metrics[0], runs.clean_metric).tolist() == pytest.approx([0.0, 0.0], abs=1e-5)


@pytest.mark.parametrize("skip", [False, True])
def test_node_effects_are_gradients_at_the_output_times_changes_of_features_of_the_input(skip):
    runs = contrast_runs(transcoders(skip=skip))
    metric, keep = runs.behaviour.metric, runs.behaviour.kept_logits
    gradients = host().gradients(runs.batch, runs.sites, metric, logits_to_keep=keep).gradients
    for site, scored in score_nodes(runs, "attribution_patching").items():
        transcoder = runs.dictionaries[site]
        clean, base = runs.clean[transcoder.input_site][0], runs.baseline.activations[transcoder.input_site][0]
        change = (transcoder.encode(base) - transcoder.encode(clean)) * runs.at_nodes[:, None]
        expected = change * (gradients[site][0] @ transcoder.W_dec.T)
        torch.testing.assert_close(dense(runs, site, scored), expected, atol=1e-5, rtol=1e-4)
        whole = ((runs.baseline.activations[site][0] - runs.clean[site][0]) * gradients[site][0]).sum(-1)
        torch.testing.assert_close(scored.error_effect, whole * runs.at_nodes - expected.sum(-1), atol=1e-5, rtol=1e-4)


def test_exact_effects_of_transcoder_features_agree_with_gradients_for_small_changes():
    """At the last MLP of the model, whose output is far from the baseline's only by what its features add."""
    runs = contrast_runs(transcoders())
    site = runs.sites[-1]
    exact, linear = score_nodes(runs, "exact")[site], score_nodes(runs, "integrated_gradients", ig_steps=50)[site]
    both = torch.stack([exact.indirect_effect, linear.indirect_effect])
    assert torch.corrcoef(both)[0, 1] > 0.9
    residual = site_residuals(runs, {site: linear})[site]
    assert residual < 0.01


def test_the_clean_error_is_what_features_leave_of_the_mlps_output():
    runs = contrast_runs(transcoders(skip=True))
    site = runs.sites[1]
    transcoder = runs.dictionaries[site]
    x = host().capture(runs.batch, [transcoder.input_site, site])
    expected = x[site][0] - transcoder.decode(transcoder.encode(x[transcoder.input_site][0]))
    torch.testing.assert_close(runs.clean_error(site), expected)


def test_the_mean_baseline_averages_features_of_what_is_read():
    dictionaries, about = transcoders(), behaviour(contrast=None)
    references = [host().tokenise(text) for text in ("w1 w2 w3", "w9 w8 w7 w6 w5 w4")]
    baseline = mean_baseline(host(), dictionaries, references, node_positions(host(), about))
    site, read = Site("mlp_out", 1), Site("mlp_in", 1)
    captured = torch.cat([host().capture(host().batch([ids]), [read])[read][0, 1:] for ids in references])
    features = baseline.features[site].columns(torch.arange(64))[0, 3]
    torch.testing.assert_close(features, dictionaries[site].encode(captured).mean(0), atol=1e-5, rtol=0)
    torch.testing.assert_close(baseline.activations[read][0, 3], captured.mean(0), atol=1e-5, rtol=0)


def test_the_zero_baseline_is_the_decoders_bias_and_an_empty_input():
    dictionaries, about = transcoders(), behaviour()
    baseline = zero_baseline(dictionaries, node_positions(host(), about))
    site = Site("mlp_out", 1)
    assert torch.equal(baseline.activations[site][0, 2], dictionaries[site].b_dec)
    assert not baseline.activations[Site("mlp_in", 1)].any()
    assert baseline.n_references == 1
