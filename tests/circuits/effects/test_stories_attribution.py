"""Attribution against exact patching on a real small Llama; skipped where its weights are not at hand."""

import torch
from tiny_models import random_sae

from circuits.effects.node_effects import score_nodes, site_residuals
from circuits.prompts.behaviour import describe_behaviour
from circuits.runs.baselines import contrast_baseline
from circuits.runs.runs import Runs, node_positions

PROMPT = "Once upon a time, there was a little girl named"
CONTRAST = "Once upon a time, there was a little boy named"


def test_attribution_agrees_with_exact_patching(stories_host):
    host = stories_host
    sites = [site for site in host.sites if site.kind == "resid_post"][1:4]
    saes = {site: random_sae(host.d_model, 128, site, seed=i) for i, site in enumerate(sites)}
    behaviour = describe_behaviour(host, PROMPT, contrast=CONTRAST)
    baseline = contrast_baseline(host, saes, behaviour.contrast_ids, node_positions(host, behaviour))
    runs = Runs.record(host, behaviour, saes, baseline)

    exact = score_nodes(runs, "exact")
    for method in ("attribution_patching", "integrated_gradients"):
        estimated = score_nodes(runs, method)
        for site in sites:
            a, b = estimated[site].indirect_effect, exact[site].indirect_effect
            assert torch.equal(estimated[site].feature_id, exact[site].feature_id)
            assert torch.corrcoef(torch.stack([a, b]))[0, 1] > 0.8, (method, str(site))
    gap = abs(runs.clean_metric - behaviour.metric(host.forward(host.batch([behaviour.contrast_ids])).logits)[0].item())
    assert max(site_residuals(runs, score_nodes(runs, ig_steps=50)).values()) < 0.02 * gap
