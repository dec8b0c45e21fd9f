"""Training: finds a known dictionary, honours the wanted L0, repeats itself, and says when it cannot."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site
from sae.training.config import BatchTopKConfig
from sae.training.trainer import train_sae

CONFIG = BatchTopKConfig(d_sae=64, k=2, steps=60, batch_tokens=256, log_every=20, warmup_steps=10)


def sparse_data(n_tokens, *, d_model=32, n_features=48, mean_active=2.0, seed=0):
    """Sums of a few random directions far from the origin, and the directions."""
    generator = torch.Generator().manual_seed(seed)
    directions = normalize(torch.randn(n_features, d_model, generator=generator))
    active = torch.rand(n_tokens, n_features, generator=generator) < mean_active / n_features
    strengths = 5 + 5 * torch.rand(n_tokens, n_features, generator=generator)
    return (active * strengths) @ directions + 7.0, directions


@pytest.fixture(scope="module")
def recovered():
    x, directions = sparse_data(30_000)
    config = BatchTopKConfig(d_sae=64, k=2, steps=600, batch_tokens=512)
    sae, record = train_sae(x[2_000:].half(), None, config, held_out=x[:2_000].half(), site=Site("resid_post", 1))
    return sae, record, x[:2_000], directions


def test_a_known_dictionary_is_recovered(recovered):
    sae, _, _, directions = recovered

    best_cosine = (directions @ sae.W_dec.T).max(dim=1).values

    assert best_cosine.mean() > 0.9


def test_the_trained_sae_reconstructs_in_the_units_of_the_host(recovered):
    sae, record, x, _ = recovered
    x_hat = sae.decode(sae.encode(x))

    explained = 1 - (x - x_hat).square().sum() / (x - x.mean(0)).square().sum()

    assert explained > 0.9
    assert record.metrics[-1].fvu < 0.1


def test_the_mean_l0_of_held_out_tokens_is_k(recovered):
    sae, record, x, _ = recovered

    l0 = (sae.encode(x.half()) > 0).sum(1).float().mean()

    assert l0.item() == pytest.approx(2.0, abs=0.01)
    assert torch.equal(sae.threshold, torch.full((64,), record.threshold))


def test_decoder_rows_are_unit(recovered):
    sae, *_ = recovered

    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(64))


def test_the_record_is_saved_with_the_sae(recovered, tmp_path):
    sae, record, *_ = recovered
    sae.save(tmp_path)

    loaded = SAE.load(tmp_path)

    assert loaded.site == Site("resid_post", 1)
    assert loaded.metadata["domain_circuits"]["training"] == record.to_json()
    assert loaded.metadata["domain_circuits"]["training"]["k"] == 2


def test_the_same_seed_trains_the_same_sae_and_another_does_not():
    x, _ = sparse_data(2_000)
    hashes = [train_sae(x, None, replace(CONFIG, seed=seed), held_out=x)[0].content_hash for seed in (0, 0, 1)]

    assert hashes[0] == hashes[1] != hashes[2]


def test_tokens_of_weight_zero_are_not_learned():
    x, directions = sparse_data(4_000, n_features=2, mean_active=1.0)
    has_second = ((x - 7.0) @ directions[1] - (x - 7.0) @ directions[0] * (directions[0] @ directions[1])) > 1
    weights = (~has_second).float()

    sae, record = train_sae(x, weights, replace(CONFIG, k=1, steps=150), held_out=x)

    assert (sae.W_dec @ directions[0]).max() > 0.95
    assert record.n_tokens == 150 * 256


def test_metrics_come_every_so_often_and_at_the_end():
    x, _ = sparse_data(1_000)

    _, record = train_sae(x, None, replace(CONFIG, steps=50), held_out=x)

    assert [entry.step for entry in record.metrics] == [20, 40, 50]
    assert 0 <= record.dead_share <= 1


def test_schedules():
    config = BatchTopKConfig(d_sae=1024, k=4, steps=1000, learning_rate=0.02)

    assert [config.k_at(step) for step in (0, 75, 150, 999)] == [32, 18, 4, 4]
    assert [config.learning_rate_at(step) for step in (0, 99, 500, 700, 850)] == pytest.approx(
        [0.0002, 0.02, 0.02, 0.02, 0.01]
    )
    assert BatchTopKConfig(d_sae=16, k=4).k_at(0) == 16


def test_constant_activations_are_refused():
    with pytest.raises(ValueError, match=r"standard deviation 0\.0, expected them to vary"):
        train_sae(torch.full((100, 8), 2.0), None, CONFIG, held_out=torch.ones(10, 8))


def test_divergence_is_reported_with_the_learning_rate():
    x, _ = sparse_data(1_000)

    with pytest.raises(ValueError, match=r"training diverged: fvu is .* lower learning_rate, now 1e\+30"):
        train_sae(x, None, replace(CONFIG, learning_rate=1e30), held_out=x)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"d_sae": 0}, "d_sae is 0, expected more than 0"),
        ({"k": 65}, "k is 65, expected more than 0 and at most d_sae, 64"),
        ({"steps": -1}, "steps is -1"),
        ({"decay_share": 1.5}, r"decay_share is 1\.5, expected a share between 0 and 1"),
    ],
)
def test_impossible_configurations_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **changes)
