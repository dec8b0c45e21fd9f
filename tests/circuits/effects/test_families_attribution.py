"""Node effects in every model family, against patching each node by itself."""

import pytest
import torch
from circuit_cases import CONTRAST, PROMPT
from tiny_models import FAMILY_SETTINGS, random_sae, tiny_family

from circuits.effects.node_effects import score_nodes, site_residuals
from circuits.prompts.behaviour import describe_behaviour
from circuits.runs.baselines import contrast_baseline
from circuits.runs.runs import Runs, node_positions
from sae.host.host import HostModel
from sae.host.sites import Site


def recorded(host: HostModel, site: Site) -> Runs:
    about = describe_behaviour(host, PROMPT, contrast=CONTRAST, foil="w9")
    saes = {site: random_sae(site=site)}
    baseline = contrast_baseline(host, saes, about.contrast_ids, node_positions(host, about))
    return Runs.record(host, about, saes, baseline)


def without_final_norm(host: HostModel) -> HostModel:
    """The same host with logits that are linear in the last layer's output."""
    decoder = host._model.get_submodule(host.family.decoder)
    setattr(decoder, "final_layer_norm" if hasattr(decoder, "final_layer_norm") else "norm", torch.nn.Identity())
    host._model.config.get_text_config().final_logit_softcapping = None
    return HostModel(host._model, host.tokenizer, name=host.name)


@pytest.mark.parametrize("family", FAMILY_SETTINGS)
@pytest.mark.parametrize("kind", ["resid_post", "mlp_out"])
def test_attribution_is_exact_where_the_metric_is_linear(family, kind):
    runs = recorded(without_final_norm(tiny_family(family)), Site(kind, 2))
    [linear], [exact] = (score_nodes(runs, method).values() for method in ("attribution_patching", "exact"))
    assert linear.indirect_effect.abs().max() > 0.1
    torch.testing.assert_close(linear.indirect_effect, exact.indirect_effect, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(linear.error_effect, exact.error_effect, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILY_SETTINGS)
def test_integrated_gradients_add_up_to_the_exact_effect_of_the_site(family):
    runs = recorded(tiny_family(family), Site("attn_out", 1))
    scored = score_nodes(runs, "integrated_gradients", ig_steps=100)
    assert scored[runs.sites[0]].indirect_effect.abs().max() > 0.01
    assert site_residuals(runs, scored)[runs.sites[0]] < 0.005
