"""Going on from a site is what steering the last token of whole prompts comes to."""

import pytest
import torch
from tiny_models import random_sae, tiny_llama

from sae.host.sites import Site
from steering.directions import Feature
from steering.interventions import Intervention, SteeringSpec
from steering.last_token_runs import LastTokenRuns
from steering.positions import read_prompt
from steering.steered_host import open_steered_host

PROMPTS = ("w1 w2 w3", "w4 w5", "w6 w7 w8 w9 w10")
STRENGTHS = (0.0, 1.5, -4.0)


@pytest.mark.parametrize("continuation", [(), (9, 20)], ids=["next token", "continuation"])
@pytest.mark.parametrize("site", ["embed", "resid_post.0", "resid_post.2", "mlp_out.1", "attn_out.2"])
def test_changes_are_added_edits_at_the_last_token(site, continuation, monkeypatch):
    monkeypatch.setattr("steering.last_token_runs.ROWS_PER_PASS", 7)  # two changes a pass, one in the last
    host, place = tiny_llama(), Site.parse(site)
    sae = random_sae(site=place)
    steered = open_steered_host(host, saes={place: sae})
    prompts = [read_prompt(host, text) for text in PROMPTS]
    runs = LastTokenRuns.record(host, [prompt.ids for prompt in prompts], [place], continuation=continuation)
    changes = torch.stack([strength * sae.W_dec[5] for strength in STRENGTHS])
    found = list(runs.logits(place, changes))
    assert len(found) == len(STRENGTHS)
    for strength, logits, ratios in zip(STRENGTHS, found, runs.norm_ratios(place, changes), strict=True):
        spec = SteeringSpec((Intervention(Feature(place, 5), "add", strength, "raw", "last"),))
        following = [torch.tensor(continuation, dtype=torch.long)] * len(prompts)
        kept = 1 + len(continuation)
        whole = steered.forward(prompts, [spec] * len(prompts), following, logits_to_keep=kept)
        torch.testing.assert_close(logits, whole.logits, rtol=1e-4, atol=1e-5)
        measured = torch.tensor([each.norm_ratio for each in whole.steered])
        torch.testing.assert_close(ratios, measured, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(found[0], found[2], atol=1e-2)


def test_nothing_added_is_the_plain_model():
    host, place = tiny_llama(), Site.parse("resid_post.1")
    runs = LastTokenRuns.record(host, [host.tokenise(text) for text in PROMPTS], [place])
    [logits] = runs.logits(place, torch.zeros(1, host.d_model))
    torch.testing.assert_close(logits, runs.plain_logits, rtol=1e-4, atol=1e-5)
