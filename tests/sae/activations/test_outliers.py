"""The outlier rule by hand."""

import pytest
import torch

from sae.activations.harvest import Harvest
from sae.activations.outliers import OutlierRule
from sae.host.sites import Site

EMBED, LAST = Site("embed", None), Site("resid_post", 2)


def part(**norms):
    """Tokens of given norms at the two sites."""
    ids = torch.zeros(len(norms["embed"]), dtype=torch.long)
    activations = {
        EMBED: torch.tensor(norms["embed"])[:, None] * torch.tensor([0.6, 0.8]),
        LAST: torch.tensor(norms["last"])[:, None] * torch.tensor([0.0, -1.0]),
    }
    return Harvest(activations, token_ids=ids, next_ids=ids, document_ids=ids, positions=ids)


PARTS = [part(embed=[1.0, 2.0], last=[10.0, 10.0]), part(embed=[3.0], last=[500.0])]


def test_the_medians_are_taken_by_site_over_all_parts():
    rule = OutlierRule.from_tokens(4.0, PARTS)

    assert rule.median_norms[EMBED] == pytest.approx(2.0)
    assert rule.median_norms[LAST] == pytest.approx(10.0)


def test_a_token_that_stands_out_at_one_site_is_dropped_at_all():
    rule = OutlierRule(4.0, {EMBED: 2.0, LAST: 10.0})

    kept = rule.keeps(part(embed=[1.0, 9.0, 1.0, 7.9], last=[10.0, 10.0, 41.0, 39.0]).activations)

    assert kept.tolist() == [True, False, False, True]


@pytest.mark.parametrize("norm", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused_by_site(norm):
    rule = OutlierRule(4.0, {EMBED: 2.0, LAST: 10.0})

    with pytest.raises(ValueError, match=r"NaN or infinite activations at resid_post\.2"):
        rule.keeps(part(embed=[1.0, 1.0], last=[1.0, norm]).activations)
