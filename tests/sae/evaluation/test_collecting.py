"""The sums of one pass are those of every document run by itself, and know the scores of degenerate dictionaries."""

import pytest
import torch
from evaluation_cases import SITE, activations, all_activations, documents
from tiny_models import random_sae

from sae.evaluation import evaluation_batches as batches_module
from sae.evaluation.collecting import collect
from sae.evaluation.degenerate import constant_sae, identity_sae
from sae.evaluation.position_classes import CLASSES, EXCLUDED
from sae.host.splice import SplicedHost

SPLICED = random_sae(d_model=32, seed=3)


@pytest.fixture(scope="module")
def found(tiny_host):
    return documents(tiny_host)


@pytest.fixture(scope="module")
def x(tiny_host, found):
    return all_activations(tiny_host, found)


@pytest.fixture(scope="module")
def table(tiny_host, found, x):
    mean = x.double().mean(0)
    dictionaries = {
        "sae": SPLICED,
        "zero": constant_sae(torch.zeros(32)),
        "mean": constant_sae(mean.float()),
        "identity": identity_sae(32),
    }
    return collect(tiny_host, found, SITE, dictionaries, shift=mean)


def test_sums_over_activations_are_those_of_each_document(tiny_host, found, table):
    for index, document in enumerate(found):
        x = activations(tiny_host, document).double()
        x_hat = SPLICED.decode(SPLICED.encode(x.float())).double()
        kept = document.classes[document.classes != EXCLUDED]
        for place in range(len(CLASSES)):
            rows, x_hats = x[kept == place], x_hat[kept == place]
            sums, text = table.dictionaries["sae"], table.text
            cell = (index, place)
            assert text.n_tokens[cell] == len(rows)
            assert sums.squared_error[cell] == pytest.approx(float((rows - x_hats).square().sum()), rel=1e-4)
            assert sums.product[cell] == pytest.approx(float((rows * x_hats).sum()), rel=1e-4, abs=1e-4)
            assert sums.n_active[cell] == (SPLICED.encode(rows.float()) > 0).sum()
            deviation = float((rows - text.shift).square().sum())
            assert text.x_deviation[cell] == pytest.approx(deviation, rel=1e-4, abs=1e-9)
            torch.testing.assert_close(text.x_sum[cell], (rows - text.shift).sum(0), atol=1e-4, rtol=1e-4)


def test_losses_are_those_of_the_spliced_host(tiny_host, found, table):
    spliced = SplicedHost(tiny_host, {SITE: SPLICED})
    for index, document in enumerate(found[:6]):
        batch = tiny_host.batch([document.ids])
        plain = tiny_host.forward(batch).logits[0, 1:-1].double().log_softmax(-1)
        with_sae = spliced.reconstruct(batch)[0, 1:-1].double().log_softmax(-1)
        following = document.ids[2:]
        rows = torch.arange(len(following))
        text, sums = table.text, table.dictionaries["sae"]
        assert text.n_predictions[index].sum() == len(following)
        assert text.cross_entropy[index].sum() == pytest.approx(-float(plain[rows, following].sum()), rel=1e-4)
        assert sums.cross_entropy[index].sum() == pytest.approx(-float(with_sae[rows, following].sum()), rel=1e-4)
        divergence = float((plain.exp() * (plain - with_sae)).sum())
        assert sums.divergence[index].sum() == pytest.approx(divergence, rel=1e-3, abs=1e-5)
        before, after = plain.argmax(-1) == following, with_sae.argmax(-1) == following
        assert sums.n_lost[index].sum() == (before & ~after).sum()
        assert sums.n_gained[index].sum() == (~before & after).sum()


def test_the_identity_changes_nothing(table):
    identity = table.dictionaries["identity"]

    assert identity.squared_error.max() < 1e-6
    assert identity.divergence.abs().max() < 1e-5
    assert (identity.n_lost.sum(), identity.n_gained.sum()) == (0, 0)
    torch.testing.assert_close(identity.cross_entropy, table.text.cross_entropy, atol=1e-4, rtol=1e-5)


def test_blocks_and_features_add_up(x, table):
    sums = table.dictionaries["sae"]
    active = SPLICED.encode(x) > 0

    assert sums.fire_counts.tolist() == active.sum(0).tolist()
    assert sums.block_l0.sum(0).tolist() == active.sum(1).bincount(minlength=sums.block_l0.shape[1]).tolist()
    assert float(sums.block_squared_error.sum()) == pytest.approx(float(sums.squared_error.sum()))
    assert table.text.block_tokens.sum() == len(x)
    assert (sums.fire_documents <= len(table.text.n_tokens)).all()
    assert ((sums.fire_documents > 0) == (sums.fire_counts > 0)).all()
    assert table.text.norm_quantiles[1] == pytest.approx(float(x.norm(dim=1).max()), rel=1e-5)


def test_batches_do_not_matter(tiny_host, found, x, table, monkeypatch):
    monkeypatch.setattr(batches_module, "BATCH_TOKENS", 20)
    again = collect(tiny_host, found, SITE, {"sae": SPLICED}, shift=x.double().mean(0))

    assert again.digest == table.digest
    for name in ("squared_error", "cross_entropy", "block_l0", "fire_documents"):
        left, right = getattr(again.dictionaries["sae"], name), getattr(table.dictionaries["sae"], name)
        torch.testing.assert_close(left, right, atol=1e-3, rtol=1e-4)
