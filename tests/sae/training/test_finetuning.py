"""Training in the host: the KL's gradients against finite differences, and predictions get better."""

from dataclasses import replace

import pytest
import torch
from tiny_models import random_sae
from torch.nn.functional import log_softmax

from sae.bundle import find_bundle
from sae.dictionary.collection import load_saes
from sae.evaluation.spliced_loss import measure_spliced_loss
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.host.splice import SplicedHost
from sae.training.calibration import threshold_factor_for_l0
from sae.training.corpus_source import document_source
from sae.training.document_source import DocumentSource
from sae.training.finetuning import SplicedConfig, spliced_trainer
from sae.training.normalisation import normalise
from sae.training.plan import TrainingPlan
from sae.training.sae_trainer import TrainingGoal
from sae.training.trainer import train

SITE = Site("resid_post", 1)
BUNDLE = find_bundle("clinic")
CONFIG = SplicedConfig(
    d_sae=64, l0=6, steps=30, batch_tokens=60, log_every=30, warmup_steps=5, anneal_share=0.0, learning_rate=2e-3
)


def documents(n, seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.cat([torch.tensor([1]), torch.randint(4, 48, (11,), generator=generator)]) for _ in range(n)]


@pytest.fixture
def source(tiny_host):
    return DocumentSource(tiny_host, documents(30, 0), documents(8, 1), [SITE], seed=0)


def test_draws_are_whole_documents_without_bos_and_go_on_from_a_state(source, tiny_host):
    source.draw(50)
    state = source.state_dict()
    draw = source.draw(50)

    assert draw.batch.ids.shape == (5, 12)
    assert draw.n_tokens == 5 * 11
    torch.testing.assert_close(draw.activations[SITE], tiny_host.capture(draw.batch, [SITE])[SITE][:, 1:].flatten(0, 1))
    source.draw(50)
    source.load_state_dict(state)
    assert torch.equal(source.draw(50).batch.ids, draw.batch.ids)


def test_a_state_of_other_documents_is_refused(source, tiny_host):
    other = DocumentSource(tiny_host, documents(30, 5), documents(8, 1), [SITE])
    with pytest.raises(ValueError, match="trained on other documents"):
        source.load_state_dict(other.state_dict())


def test_no_documents_are_refused(tiny_host):
    with pytest.raises(ValueError, match="0 documents to train on and 1 held out"):
        DocumentSource(tiny_host, [], documents(1, 0), [SITE])


def kl_of(host, sae, batch):
    clean = log_softmax(host.forward(batch).logits, -1)
    spliced = log_softmax(SplicedHost(host, {SITE: sae}).reconstruct(batch), -1)
    return float((clean.exp() * (clean - spliced)).sum(-1)[batch.node_mask].mean())


def test_kl_and_its_gradients_are_those_of_the_spliced_host(source, tiny_host):
    # at thresholds of 0 nothing jumps, and differences are gradients
    start = random_sae(site=SITE).with_threshold(torch.zeros(64))
    goal = TrainingGoal("x", SITE, CONFIG, start=start)
    trainer = spliced_trainer(tiny_host)(goal, source.statistics(SITE), torch.device("cpu"))
    draw = source.draw(60)
    x = normalise(draw.activations[SITE], trainer.statistics)

    kl, gradients = trainer._kl_gradients(x, draw)

    assert kl == pytest.approx(kl_of(tiny_host, trainer.folded(), draw.batch), rel=1e-3)
    generator = torch.Generator().manual_seed(4)
    for name in ("decoder_rows", "b_dec", "encoder_rows", "b_enc"):
        weight, step = getattr(trainer.weights, name), 2e-3
        direction = torch.randn(weight.shape, generator=generator)
        direction /= direction.norm()
        with torch.no_grad():
            weight.add_(direction, alpha=step)
            above = kl_of(tiny_host, trainer.folded(), draw.batch)
            weight.sub_(direction, alpha=2 * step)
            below = kl_of(tiny_host, trainer.folded(), draw.batch)
            weight.add_(direction, alpha=step)
        slope = float((getattr(gradients, name) * direction).sum())
        assert slope == pytest.approx((above - below) / (2 * step), rel=0.1, abs=5e-3), name


def test_finetuning_keeps_l0_and_the_kl_serves_predictions(source, tiny_host):
    start = random_sae(site=SITE)
    held_out = source.held_out(SITE)
    calibrated = start.with_threshold(start.threshold * threshold_factor_for_l0(start, held_out, 6))
    batch = tiny_host.batch(documents(8, 1))
    kl = [kl_of(tiny_host, calibrated, batch)]

    for kl_weight in (0.0, 1.0):
        goal = TrainingGoal("x", SITE, replace(CONFIG, kl_weight=kl_weight), start=calibrated)
        trained = train(source, [goal], make_trainer=spliced_trainer(tiny_host))["x"]
        assert (trained.sae.encode(held_out) > 0).sum(1).float().mean().item() == pytest.approx(6, rel=0.05)
        assert trained.record.metrics[-1].kl > 0
        kl.append(kl_of(tiny_host, trained.sae, batch))

    assert kl[2] < min(kl[:2]), kl


@pytest.mark.slow
@pytest.mark.skipif(BUNDLE is None, reason="the bundled model is not in this checkout")
def test_in_the_bundled_host_the_kl_lowers_what_splicing_costs():
    host = HostModel.load("clinic")
    start = load_saes(BUNDLE.saes("broad"), host=host, sites="resid_post.2")
    site = Site("resid_post", 2)
    delta_ce = {}
    for kl_weight in (0.0, 1.0):
        plan = TrainingPlan((site,), (1024,), (8.0,), 60_000, batch_tokens=1024, kl_weight=kl_weight, start=start)
        corpus = document_source(host, "clinic:clinical", [site], n_tokens=60_000)
        goal = plan.goals(d_model=host.d_model, metadata={})[0]
        tuned = train(corpus.source, [goal], make_trainer=spliced_trainer(host))[goal.name].sae
        delta_ce[kl_weight] = measure_spliced_loss(host, corpus.documents[:50], {site: tuned}).delta_ce

    assert delta_ce[1.0] < delta_ce[0.0], delta_ce


def test_a_negative_weight_is_refused():
    with pytest.raises(ValueError, match=r"kl_weight is -1\.0, expected 0 or more"):
        replace(CONFIG, kl_weight=-1.0)
