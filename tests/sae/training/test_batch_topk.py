"""BatchTopK: the batch's threshold, and the step's gradients against autograd."""

import pytest
import torch
from torch.nn.functional import linear

from sae.activations.statistics import SiteStatistics
from sae.activations.token_draw import TokenDraw
from sae.host.sites import Site
from sae.training.batch_topk import BatchTopKTrainer, batch_threshold
from sae.training.config import BatchTopKConfig
from sae.training.sae_trainer import TrainingGoal

SITE = Site("resid_post", 0)
STATISTICS = SiteStatistics(torch.zeros(12), 1.0, 1.0, 1.0)
WEIGHTS = ("decoder_rows", "encoder_rows", "b_enc", "b_dec")


def trainer(k):
    config = BatchTopKConfig(d_sae=40, k=k, steps=10, anneal_share=0.0)
    return BatchTopKTrainer(TrainingGoal("x", SITE, config), STATISTICS, device=torch.device("cpu"))


def test_the_batch_threshold_leaves_about_k_features_active():
    pre_acts = torch.randn(4096, 64, generator=torch.Generator().manual_seed(0))

    l0 = (pre_acts > batch_threshold(pre_acts, 5.0)).sum(1).float().mean()

    assert l0 == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize("d_sae", [31, 62, 64])
def test_the_subsample_sees_every_feature(d_sae):
    # one loud feature; a stride that shares a divisor with d_sae would miss it or see nothing else
    pre_acts = torch.zeros(2000, d_sae)
    pre_acts[:, 7] = 1.0

    assert float(batch_threshold(pre_acts, 0.5)) == 1.0
    assert float(batch_threshold(pre_acts, 2.0)) < 1e-2


def test_the_batch_threshold_stays_positive_where_nothing_fires():
    assert batch_threshold(torch.full((100, 8), -1.0), 2.0) > 0


@pytest.mark.parametrize("k", [0.3, 4.0, 40.0])
@pytest.mark.parametrize("emphasised", [False, True])
def test_gradients_are_those_of_the_squared_error_of_the_selection(k, emphasised):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(300, 12, generator=generator)
    emphasis = torch.where(torch.arange(300) < 150, 3.0, 1.0) if emphasised else None
    trained = trainer(k)
    weights = trained.weights

    statistics, gradients = trained.gradients(x, TokenDraw({SITE: x}, emphasis))

    a = torch.ones(300, 1) if emphasis is None else emphasis[:, None]
    pre_acts = linear(x, weights.encoder_rows, weights.b_enc)
    active = (pre_acts * a > batch_threshold(pre_acts.detach() * a, k)).detach()
    error = (pre_acts * active) @ weights.decoder_rows + weights.b_dec - x
    loss = (a.square() * error.square()).sum() / len(x)
    expected = torch.autograd.grad(loss, [getattr(weights, name) for name in WEIGHTS])
    for name, gradient in zip(WEIGHTS, expected, strict=True):
        torch.testing.assert_close(getattr(gradients, name), gradient, atol=1e-5, rtol=1e-5)
    assert not gradients.threshold.any()
    assert statistics.fire_counts.tolist() == active.sum(0).tolist()
    if emphasised and k < 40:
        assert active[:150].sum() > active[150:].sum()


def test_the_thresholds_are_not_trained():
    x = torch.randn(64, 12, generator=torch.Generator().manual_seed(2))
    trained = trainer(4.0)

    trained.step(TokenDraw({SITE: x}))

    assert not trained.weights.threshold.any()
    torch.testing.assert_close(trained.weights.decoder_rows.norm(dim=1), torch.ones(40))


def test_an_sae_to_begin_with_is_refused():
    config = BatchTopKConfig(d_sae=40, k=2)
    goal = TrainingGoal("mine", SITE, config, start=trainer(2).folded())

    with pytest.raises(ValueError, match="mine is to begin with an SAE, which BatchTopK cannot"):
        BatchTopKTrainer(goal, STATISTICS, device=torch.device("cpu"))
