"""Probes on made-up documents: what one feature tells, what none tells, and what the words tell."""

from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
import torch
from labelled_cases import embedding_sae, ill_documents
from rich.console import Console

from sae.annotated_text import AnnotatedText
from sae.probing.logistic_probe import fit_probe, standardised
from sae.probing.pooled_documents import PooledDocuments, pool_documents
from sae.probing.sparse_probing import most_different, probe_documents
from sae.probing.splits import TEST, TRAIN, VALIDATION, splits_of
from sae.probing.terminal_view import render_probing

FEATURES = [["w20", "w21"], ["w5", "w6"], ["w22"]]


def planted(n=400, seed=0) -> PooledDocuments:
    """Feature 3 tells the target `a`; nothing tells `b`; the words tell neither."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(n, 2, generator=generator) < 0.4
    features = torch.rand(n, 30, generator=generator)
    features[:, 3] += 2 * truth[:, 0]
    texts = tuple(f"text {int(number)}" for number in torch.randint(10**6, (n,), generator=generator))
    return PooledDocuments(
        texts, features, torch.randn(n, 8, generator=generator), splits_of(texts), ("a", "b"), truth, {}
    )


@pytest.fixture(scope="module")
def found():
    return probe_documents(planted(), ks=(1, 5))


def test_one_feature_tells_what_it_was_made_to_tell(found):
    told, untold = found.targets
    assert told.features[0] == 3
    for k in ("k=1", "k=5"):
        assert all(told.scores[k][metric].value > 0.98 for metric in ("f1", "auroc", "balanced_accuracy"))
    for method in found.methods:
        assert untold.scores[method]["auroc"].low <= 0.5 <= untold.scores[method]["auroc"].high
    for method in ("dense", "tfidf"):
        assert told.scores[method]["auroc"].value < 0.7


def test_shuffled_labels_are_at_chance(found):
    for method in found.methods:
        assert found.shuffled[method]["auroc"].value == pytest.approx(0.5, abs=0.12)
    assert found.targets[0].always_yes_f1 == pytest.approx(2 * found.targets[0].share / (1 + found.targets[0].share))


def test_a_mean_is_of_the_targets(found):
    for metric, mean in found.mean["k=1"].items():
        values = [target.scores["k=1"][metric].value for target in found.targets]
        assert mean.value == pytest.approx(np.mean(values))
        assert mean.low < mean.value < mean.high


def test_the_table_has_its_null(found):
    console = Console(width=80, file=StringIO())
    console.print(render_probing(found))
    assert "shuffled" in console.file.getvalue()
    assert "tfidf" in console.file.getvalue()


def test_a_k_beyond_the_dictionary():
    with pytest.raises(ValueError, match="expected from 1 to the 30 features"):
        probe_documents(planted(), ks=(1, 31))


def test_most_different():
    x = np.array([[0.0, 1.0, 5.0], [0.0, 2.0, 5.0], [1.0, -9.0, 5.0]])
    assert most_different(x, np.array([True, True, False]), 2).tolist() == [1, 0]


def test_the_penalty_is_chosen_on_validation():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 200)), np.arange(30) % 2 == 0
    x[:, 0] += 1.5 * y
    to_units = standardised(x)
    assert to_units(np.ones((1, 200))).shape == (1, 200)
    probe = fit_probe(x, y, x, y)
    assert ((probe.scores(x) > 0) == y).all()
    assert standardised(np.ones((3, 1)))(np.ones((3, 1))).tolist() == [[0.0]] * 3


def test_splits():
    splits = splits_of([f"text {number}" for number in range(2000)])
    shares = [(splits == split).double().mean().item() for split in (TRAIN, VALIDATION, TEST)]
    assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.03)
    assert splits_of(["text 5"])[0] == splits[5]


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_documents_are_pooled_over_their_tokens(tiny_host, pooling):
    documents = ill_documents(150)
    sae = embedding_sae(tiny_host, FEATURES)
    pooled = pool_documents(tiny_host, sae, documents, pooling=pooling)
    assert pooled.targets == ("cough", "fever")
    table = tiny_host._model.get_input_embeddings().weight.detach().float()
    for index in (0, 17, 149):
        x = table[tiny_host.tokenise(pooled.texts[index])[1:]]
        acts = sae.encode(x)
        expected = acts.mean(0) if pooling == "mean" else acts.amax(0)
        torch.testing.assert_close(pooled.features[index], expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(pooled.activations[index], x.mean(0))
    assert ((pooled.features[:, 1] > 0) == pooled.truth[:, 1]).all()


def test_targets(tiny_host):
    sae = embedding_sae(tiny_host, FEATURES)
    classes = [("rare",), *[("ill",) if number % 2 else () for number in range(149)]]
    documents = [replace(each, classes=own) for each, own in zip(ill_documents(150), classes, strict=True)]
    pooled = pool_documents(tiny_host, sae, documents, targets=["ill", "rare"])
    assert pooled.targets == ("ill",)
    assert pooled.left_out == {"rare": 1}
    with pytest.raises(ValueError, match="--targets has 1 unknown concepts: 'il'"):
        pool_documents(tiny_host, sae, documents, targets=["il"])
    with pytest.raises(ValueError, match="none of 1 targets has enough documents"):
        pool_documents(tiny_host, sae, [AnnotatedText("w1", classes=("a",))])
