import pytest
import torch
from circuit_cases import behaviour, contrast_runs, host, resample_runs, saes_at

from circuits.effects.node_effects import score_nodes
from circuits.evaluation.kept_share import bootstrap_interval, faithfulness
from circuits.evaluation.masked_runs import ALL_FEATURES, ensemble_metrics, kept_edit, masked_metrics
from circuits.evaluation.selection import Ranking
from circuits.runs.baselines import contrast_baseline, mean_baseline, zero_baseline
from circuits.runs.ensemble import Ensemble
from circuits.runs.node_set import NodeSet
from circuits.runs.runs import Runs, node_positions
from sae.dictionary.autoencoder import SAE
from sae.host.reading_edits import host_edits


def slow_masked_metric(runs: Runs, circuit: NodeSet | None, reference: int) -> float:
    """One circuit, one reference, dense: every node outside the circuit set to its baseline, errors too."""
    kept = {}
    for site in runs.sites:
        mask = torch.zeros(runs.n_positions, runs.dictionaries[site].d_sae, dtype=torch.bool)
        if circuit is None:
            mask[:] = True
        elif site in circuit.nodes:
            mask[circuit.nodes[site]] = True
        kept[site] = mask

    def edit(site):
        sae = runs.dictionaries[site]
        base = runs.baseline.features[site]
        own = base.row == reference
        f_base = torch.zeros(runs.n_positions, sae.d_sae)
        f_base[base.position[own], base.feature_id[own]] = base.value[own]
        e_base = runs.baseline.activations[site][reference] - sae.decode(f_base)

        def replace(x):
            prompt = x[:, : runs.n_positions]
            features = torch.where(kept[site], sae.encode(prompt), f_base)
            masked = torch.where(runs.at_nodes[:, None], sae.decode(features) + e_base, prompt)
            return torch.cat([masked, x[:, runs.n_positions :]], dim=1)

        return replace

    edits = {site: edit(site) for site in runs.sites}
    run = host().forward(runs.batch, edits, logits_to_keep=runs.behaviour.kept_logits)
    return runs.behaviour.metric(run.logits)[0].item()


@pytest.mark.parametrize("make_runs", [contrast_runs, resample_runs])
@pytest.mark.parametrize("kinds", [("resid_post",), ("embed", "attn_out", "mlp_out", "resid_post")])
def test_batched_masks_equal_the_slow_form(make_runs, kinds):
    runs = make_runs(saes_at(*kinds))
    ranking = Ranking.by_effect(score_nodes(runs))
    circuits = [NodeSet({}), ranking.top(3), ranking.top(20), ranking.random(7, seed=1), ALL_FEATURES]
    found = masked_metrics(runs, circuits)
    for row, circuit in zip(found, circuits, strict=True):
        expected = [slow_masked_metric(runs, circuit, r) for r in range(runs.baseline.n_references)]
        torch.testing.assert_close(row, torch.tensor(expected), atol=1e-4, rtol=1e-4)


def test_masks_of_multi_token_answers_equal_the_slow_form():
    runs = contrast_runs(saes_at("resid_post"), behaviour(target="w8 w3", foil="w9"))
    circuit = Ranking.by_effect(score_nodes(runs)).top(5)
    found = masked_metrics(runs, [circuit])[0, 0].item()
    assert found == pytest.approx(slow_masked_metric(runs, circuit, 0), abs=1e-4)


def test_the_empty_circuit_is_the_contrast_run():
    runs = contrast_runs(saes_at("resid_post"))
    about = runs.behaviour
    contrast = host().forward(host().batch([about.contrast_ids]), logits_to_keep=1)
    empty = masked_metrics(runs, [NodeSet({})])[0, 0].item()
    assert empty == pytest.approx(about.metric(contrast.logits)[0].item(), abs=1e-5)


def test_zero_baseline_without_nodes_puts_the_decoder_bias_everywhere():
    saes = saes_at("resid_post")
    about = behaviour()
    baseline = zero_baseline(saes, node_positions(host(), about))
    runs = Runs.record(host(), about, saes, baseline)
    last = runs.sites[-1]
    is_node = runs.batch.node_mask[..., None]
    run = host().forward(runs.batch, {last: lambda x: torch.where(is_node, saes[last].b_dec, x)}, logits_to_keep=1)
    assert masked_metrics(runs, [NodeSet({})])[0, 0].item() == pytest.approx(
        about.metric(run.logits)[0].item(), abs=1e-5
    )


def test_mean_baseline_is_the_mean_over_reference_positions():
    saes = saes_at("resid_post")
    about = behaviour(contrast=None)
    references = [host().tokenise(text) for text in ("w1 w2 w3", "w9 w8 w7 w6 w5 w4")]
    baseline = mean_baseline(host(), saes, references, node_positions(host(), about))
    site = list(saes)[1]
    captured = torch.cat([host().capture(host().batch([ids]), [site])[site][0, 1:] for ids in references])
    torch.testing.assert_close(baseline.activations[site][0, 3], captured.mean(0), atol=1e-5, rtol=0)
    features = baseline.features[site].columns(torch.arange(64))[0, 3]
    torch.testing.assert_close(features, saes[site].encode(captured).mean(0), atol=1e-5, rtol=0)


def dictionary_without_features(sae: SAE) -> SAE:
    return SAE(
        encoder_rows=torch.zeros_like(sae.encoder_rows),
        b_enc=torch.zeros_like(sae.b_enc),
        decoder_rows=torch.zeros_like(sae.decoder_rows),
        b_dec=sae.b_dec,
        threshold=sae.threshold,
        site=sae.site,
    )


def test_a_dictionary_without_features_keeps_nothing():
    zeros = {site: dictionary_without_features(sae) for site, sae in saes_at("resid_post").items()}
    about = behaviour()
    baseline = contrast_baseline(host(), zeros, about.contrast_ids, node_positions(host(), about))
    runs = Runs.record(host(), about, zeros, baseline)
    metrics = masked_metrics(runs, [NodeSet({}), ALL_FEATURES])
    assert faithfulness(metrics, metrics[0], runs.clean_metric).tolist() == pytest.approx([0.0, 0.0], abs=1e-5)


def test_faithfulness_is_one_for_the_model_and_zero_for_the_baseline():
    metrics = torch.tensor([[3.0, 5.0], [1.0, 1.0], [2.0, 3.0]])
    assert faithfulness(metrics, torch.tensor([1.0, 1.0]), 4.0).tolist() == pytest.approx([1.0, 0.0, 0.5])


def test_faithfulness_of_no_gap_is_refused():
    with pytest.raises(ValueError, match="faithfulness is undefined; choose a contrast"):
        faithfulness(torch.ones(1, 1), torch.tensor([2.0]), 2.0)


def test_the_interval_holds_the_value_and_needs_several_references():
    kept, empty = torch.tensor([2.0, 3.0, 2.5, 2.2]), torch.zeros(4)
    low, high = bootstrap_interval(kept, empty, 4.0)
    value = faithfulness(kept[None], empty, 4.0)[0].item()
    assert low < value < high
    assert bootstrap_interval(kept[:1], empty[:1], 4.0) == (None, None)


@pytest.mark.parametrize("make_runs", [contrast_runs, resample_runs])
@pytest.mark.parametrize("kinds", [("resid_post",), ("embed", "attn_out", "mlp_out", "resid_post")])
def test_keeping_every_feature_and_error_gives_the_models_logits(make_runs, kinds):
    runs = make_runs(saes_at(*kinds))
    shape = runs.baseline.n_references, runs.n_positions
    cells, is_node = torch.arange(shape[0]), runs.batch.node_mask.repeat(shape[0], 1)
    every, kept = torch.arange(64), torch.ones(*shape, 64, dtype=torch.bool)
    edits = {
        site: kept_edit(runs, site, every, kept, cells, is_node, kept_errors=torch.ones(shape, dtype=torch.bool))
        for site in runs.sites
    }
    batch = runs.batch.repeat(shape[0])
    logits = host().forward(batch, host_edits(edits, runs.input_sites)).logits
    torch.testing.assert_close(logits, host().forward(batch).logits, atol=1e-4, rtol=1e-4)


def test_zero_ablation_of_everything_leaves_the_decoder_bias_at_each_site():
    saes = saes_at("embed", "attn_out", "mlp_out", "resid_post")
    about = behaviour()
    runs = Runs.record(host(), about, saes, zero_baseline(saes, node_positions(host(), about)))
    none, kept = torch.arange(0), torch.zeros(1, runs.n_positions, 0, dtype=torch.bool)
    edits = {
        site: kept_edit(runs, site, none, kept, torch.zeros(1, dtype=torch.long), runs.batch.node_mask)
        for site in runs.sites
    }
    found = host().forward(runs.batch, host_edits(edits, runs.input_sites), capture=runs.sites).activations
    for site, x in found.items():
        at_nodes = x[0, runs.at_nodes]
        torch.testing.assert_close(at_nodes, saes[site].b_dec.expand_as(at_nodes), atol=1e-6, rtol=0)


def test_circuits_of_equal_nodes_are_run_once(monkeypatch):
    runs = contrast_runs(saes_at("resid_post"))
    ranking = Ranking.by_effect(score_nodes(runs))
    order = torch.arange(6)
    circuits = [ranking.chosen(order), NodeSet({}), ranking.chosen(order.flip(0)), ALL_FEATURES, ranking.top(2)]
    expected = masked_metrics(runs, circuits)
    seen = []

    def counted(runs, circuits):
        seen.append(len(circuits))
        return masked_metrics(runs, circuits)

    monkeypatch.setattr("circuits.evaluation.masked_runs.masked_metrics", counted)
    torch.testing.assert_close(ensemble_metrics(Ensemble.lone(runs), circuits), expected, atol=1e-5, rtol=1e-5)
    assert seen == [4]


@pytest.mark.parametrize("most_tokens", [1, 40, None])
def test_the_size_of_a_pass_decides_nothing(most_tokens, monkeypatch):
    runs = resample_runs(saes_at("resid_post"))
    ranking = Ranking.by_effect(score_nodes(runs))
    circuits = [ranking.top(3), ranking.top(len(ranking)), ALL_FEATURES]
    expected = masked_metrics(runs, circuits)
    if most_tokens is not None:
        monkeypatch.setattr("circuits.runs.runs.TOKENS_PER_CPU_PASS", most_tokens)
    torch.testing.assert_close(masked_metrics(runs, circuits), expected, atol=1e-5, rtol=1e-5)
