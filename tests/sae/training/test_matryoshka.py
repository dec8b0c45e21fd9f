"""Matryoshka: what one prefix is, what several do, and that a run repeats and resumes itself."""

from dataclasses import replace

import pytest
import torch
from training_cases import SITES, batch_topk, matryoshka, small_source, sparse_data

from sae.dictionary.autoencoder import SAE
from sae.training.config import BatchTopKConfig, MatryoshkaConfig
from sae.training.run import METRICS
from sae.training.sae_trainer import TrainingGoal
from sae.training.trainer import train, train_sae

LONG = {"d_sae": 64, "k": 2, "steps": 200, "batch_tokens": 256}
PREFIXES = (0.125, 0.5, 1)


def unexplained(sae, x, size):
    """FVU of the first `size` features alone."""
    acts = sae.encode(x)
    acts[:, size:] = 0
    return float((x - sae.decode(acts)).square().sum() / (x - x.mean(0)).square().sum())


@pytest.fixture(scope="module")
def data():
    return sparse_data(10_000)[0]


@pytest.fixture(scope="module")
def trained(data):
    return train_sae(
        data[2_000:], None, MatryoshkaConfig(prefixes=PREFIXES, **LONG), held_out=data[:2_000], site=SITES[0]
    )


@pytest.mark.parametrize("kernel", ["dense", "sparse"])
def test_a_single_prefix_trains_the_batch_topk_dictionary_bit_for_bit(kernel):
    goals = [
        TrainingGoal("nested", SITES[0], matryoshka(prefixes=(1,), kernel=kernel)),
        TrainingGoal("plain", SITES[0], batch_topk(kernel=kernel)),
    ]

    found = train(small_source(), goals)

    assert found["nested"].sae.content_hash == found["plain"].sae.content_hash
    for nested, plain in zip(found["nested"].record.metrics, found["plain"].record.metrics, strict=True):
        assert (nested.fvu, nested.loss, nested.prefix_fvu) == (plain.fvu, plain.loss, (plain.fvu,))


def test_short_prefixes_reconstruct_better_than_those_of_batch_topk(trained, data):
    sae, _ = trained
    x = data[:2_000]

    plain, _ = train_sae(data[2_000:], None, BatchTopKConfig(**LONG), held_out=x, site=SITES[0])

    assert [unexplained(sae, x, size) < unexplained(plain, x, size) for size in (8, 32)] == [True, True]
    assert unexplained(sae, x, 64) < 0.2


def test_the_mean_l0_of_held_out_tokens_is_k(trained, data):
    assert float((trained[0].encode(data[:2_000]) > 0).sum(1).float().mean()) == pytest.approx(2, abs=0.01)


def test_prefixes_and_what_they_leave_are_recorded(trained, tmp_path):
    sae, record = trained
    sae.save(tmp_path)

    saved = SAE.load(tmp_path).metadata["domain_circuits"]["training"]

    assert (saved["architecture"], saved["prefixes"], saved["prefix_sizes"]) == (
        "matryoshka",
        [0.125, 0.5, 1],
        [8, 32, 64],
    )
    by_prefix = record.metrics[-1].prefix_fvu
    assert saved["final_prefix_fvu"] == list(by_prefix)
    assert by_prefix[0] > by_prefix[1] > by_prefix[2] == record.metrics[-1].fvu
    assert record.metrics[-1].loss == pytest.approx(sum(by_prefix))


def test_sae_lens_loads_the_dictionary_as_jumprelu(trained, data, tmp_path):
    sae_lens = pytest.importorskip("sae_lens")
    sae, _ = trained
    sae.save(tmp_path, weight_dtype=torch.float32)

    theirs = sae_lens.SAE.load_from_disk(str(tmp_path))

    assert theirs.cfg.architecture() == "jumprelu"
    torch.testing.assert_close(theirs.encode(data[:100]), sae.encode(data[:100]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(theirs(data[:100]), sae.decode(sae.encode(data[:100])), rtol=1e-4, atol=1e-4)


def test_dense_and_sparse_train_the_same_dictionary():
    x = small_source().held_out(SITES[0])
    config = matryoshka(steps=10)

    dense, sparse = (
        train_sae(x, None, replace(config, kernel=k), held_out=x, site=SITES[0]) for k in ("dense", "sparse")
    )

    assert [record.metrics[-1].kernel for _, record in (dense, sparse)] == ["dense", "sparse"]
    torch.testing.assert_close(dense[0].W_dec, sparse[0].W_dec, atol=1e-3, rtol=1e-3)


def test_a_run_that_was_cut_off_ends_in_the_same_bits(tmp_path):
    goals = [TrainingGoal(f"{site}-{k}", site, matryoshka(k=k)) for k in (1, 2) for site in SITES]
    whole = train(small_source(), goals, directory=tmp_path / "whole")
    source = small_source()
    draw, left = source.draw, iter(range(23))

    def run_out(n):
        if next(left, None) is None:
            raise ValueError("no more")
        return draw(n)

    source.draw = run_out
    with pytest.raises(ValueError, match="no more"):
        train(source, goals, directory=tmp_path / "cut", checkpoint_every=7)

    resumed = train(small_source(), goals, directory=tmp_path / "cut", resume=True)

    assert {n: t.sae.content_hash for n, t in resumed.items()} == {n: t.sae.content_hash for n, t in whole.items()}
    assert {n: t.record.metrics for n, t in resumed.items()} == {n: t.record.metrics for n, t in whole.items()}
    assert (tmp_path / "cut" / METRICS).is_file()
