"""From the host's units to those of training and back."""

import pytest
import torch
from tiny_models import random_sae

from sae.activations.statistics import SiteStatistics
from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site
from sae.training.normalisation import fold, normalise, unfold

SITE = Site("resid_post", 1)
X = 3 * torch.randn(200, 32, generator=torch.Generator().manual_seed(1)) + 2
STATISTICS = SiteStatistics(X.mean(0), float((X - X.mean(0)).square().mean().sqrt()), 1.0, 1.0)


@pytest.fixture
def uneven():
    """A dictionary whose decoder rows have length 3, but for one that writes nothing."""
    start = random_sae()
    decoder_rows = start.decoder_rows * 3
    decoder_rows[5] = 0
    return SAE(
        encoder_rows=start.encoder_rows, b_enc=start.b_enc, decoder_rows=decoder_rows, b_dec=start.b_dec,
        threshold=start.threshold,
    )  # fmt: skip


def test_normalised_activations_have_mean_zero_and_unit_variance():
    x = normalise(X, STATISTICS)

    torch.testing.assert_close(x.mean(0), torch.zeros(32), atol=1e-5, rtol=0)
    assert x.square().mean().item() == pytest.approx(1)


def test_a_dictionary_comes_back_with_unit_rows_and_the_same_reconstructions(uneven):
    folded = fold(unfold(uneven, STATISTICS), STATISTICS, site=SITE)

    torch.testing.assert_close(folded.decode(folded.encode(X)), uneven.decode(uneven.encode(X)), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(folded.W_dec.norm(dim=1), (torch.arange(64) != 5).float())
    assert folded.site == SITE


def test_training_units_give_the_same_pre_activations_up_to_scale(uneven):
    weights = unfold(uneven, STATISTICS)

    pre_acts = normalise(X, STATISTICS) @ weights.encoder_rows.T + weights.b_enc

    norms = torch.where(torch.arange(64) == 5, 1.0, 3.0)
    torch.testing.assert_close(pre_acts * STATISTICS.scale, uneven.pre_acts(X) * norms, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(weights.threshold * STATISTICS.scale, uneven.threshold * norms)


def test_a_topk_dictionary_is_refused(uneven):
    top_k = SAE(
        encoder_rows=uneven.encoder_rows, b_enc=uneven.b_enc, decoder_rows=uneven.decoder_rows, b_dec=uneven.b_dec,
        threshold=torch.zeros(64), top_k=4,
    )  # fmt: skip

    with pytest.raises(ValueError, match=r"is TopK \(top_k 4\), whose features have no thresholds to train"):
        unfold(top_k, STATISTICS)
