"""Scores of features against the plain definitions."""

import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, jaccard_score, precision_score, recall_score

from sae.dictionary.feature_acts import FeatureActs
from sae.localisation.detectors import Columns, best_features, token_f1, token_type_acts
from sae.localisation.scoring import document_tables, scores

N_DOCUMENTS, D_SAE, N_CONCEPTS = 12, 7, 3


@pytest.fixture
def case():
    """Random activations with ties, gold tokens, and documents of different lengths."""
    generator = torch.Generator().manual_seed(0)
    documents = torch.arange(N_DOCUMENTS).repeat_interleave(torch.randint(3, 9, (N_DOCUMENTS,), generator=generator))
    n = len(documents)
    dense = torch.randint(0, 4, (n, D_SAE), generator=generator).float()
    dense *= torch.rand(n, D_SAE, generator=generator) < 0.5
    gold = torch.rand(n, N_CONCEPTS, generator=generator) < 0.2
    return dense, gold, documents, torch.arange(N_DOCUMENTS) % 2 == 1


def pointing(a, gold, documents, in_split):
    """Largest activations that are gold, document by document."""
    hits = []
    for document in in_split.nonzero()[:, 0]:
        here = documents == document
        if not gold[here].any():
            continue
        top = (a[here] == a[here].max()) & (a[here] > 0)
        hits.append((gold[here] & top).sum().item() / max(1, top.sum().item()))
    return sum(hits) / len(hits)


def test_scores_are_as_defined(case):
    dense, gold, documents, in_b = case
    chosen = torch.tensor([4, 0, 4])
    tables = document_tables(FeatureActs.from_dense(dense), gold, chosen, documents, in_b)
    found = scores(tables, torch.ones(1, int(in_b.sum()), dtype=torch.float64))
    among = in_b[documents]
    for concept, feature in enumerate(chosen):
        a, y = dense[among, feature], gold[among, concept]
        expected = {
            "precision": precision_score(y, a > 0),
            "recall": recall_score(y, a > 0),
            "f1": f1_score(y, a > 0),
            "iou": jaccard_score(y, a > 0),
            "auprc": average_precision_score(y, a),
            "auprc_chance": y.double().mean().item(),
            "pointing": pointing(dense[:, feature], gold[:, concept], documents, in_b),
        }
        for name, value in expected.items():
            assert found[name][0, concept].item() == pytest.approx(value), name


def test_a_resample_is_as_if_documents_stood_there_as_often(case):
    dense, gold, documents, in_b = case
    chosen = torch.tensor([1, 2, 3])
    acts = FeatureActs.from_dense(dense)
    tables = document_tables(acts, gold, chosen, documents, in_b)
    counts = torch.tensor([[0, 2, 1, 0, 3, 0]], dtype=torch.float64)
    found = scores(tables, counts)
    rows = in_b.nonzero()[:, 0].repeat_interleave(counts[0].long())
    places = torch.cat([(documents == row).nonzero()[:, 0] for row in rows])
    again = torch.cat([torch.full((int((documents == row).sum()),), n) for n, row in enumerate(rows)])
    copied = document_tables(
        FeatureActs.from_dense(dense[places]), gold[places], chosen, again, torch.ones(len(rows), dtype=torch.bool)
    )
    expected = scores(copied, torch.ones(1, len(rows), dtype=torch.float64))
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], equal_nan=True)


def test_the_best_feature_is_the_best_of_all_f1(case):
    dense, gold, documents, in_b = case
    among = in_b[documents]
    table = token_f1(FeatureActs.from_dense(dense), gold, among)
    for feature in range(D_SAE):
        for concept in range(N_CONCEPTS):
            expected = f1_score(gold[among, concept], dense[among, feature] > 0)
            assert table[feature, concept].item() == pytest.approx(expected)
    chosen = best_features(FeatureActs.from_dense(dense), gold, among)
    assert chosen.feature_ids.tolist() == table.argmax(0).tolist()
    torch.testing.assert_close(chosen.f1, table.amax(0))


def test_a_silent_feature_scores_nothing(case):
    _, gold, documents, in_b = case
    silent = FeatureActs.from_dense(torch.zeros(len(documents), 2))
    tables = document_tables(silent, gold, torch.zeros(N_CONCEPTS, dtype=torch.long), documents, in_b)
    found = scores(tables, torch.ones(1, int(in_b.sum()), dtype=torch.float64))
    for name in ("pointing", "precision", "recall", "f1", "iou"):
        assert found[name].tolist() == [[0.0] * N_CONCEPTS]
    torch.testing.assert_close(found["auprc"], found["auprc_chance"])


def test_the_gold_itself_scores_one_and_what_is_never_told_nothing(case):
    _, gold, documents, in_b = case
    gold = gold.clone()
    gold[:, 2] = False
    acts = FeatureActs.from_dense(gold.float())
    found = scores(
        document_tables(acts, gold, torch.arange(3), documents, in_b), torch.ones(1, int(in_b.sum())).double()
    )
    for name in ("pointing", "precision", "recall", "f1", "iou", "auprc"):
        assert found[name][0, :2].tolist() == [1.0, 1.0], name
        assert found[name][0, 2].isnan()


def test_token_types_are_features():
    acts = token_type_acts(torch.tensor([7, 3, 7]), torch.tensor([3, 5, 7]))
    assert acts.to_dense().tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 1]]


def test_columns_are_features(case):
    dense, _, documents, in_b = case
    columns = Columns.of(FeatureActs.from_dense(dense), in_b[documents])
    for feature in range(D_SAE):
        tokens, values = columns.feature(feature)
        expected = ((dense[:, feature] > 0) & in_b[documents]).nonzero()[:, 0]
        assert tokens.tolist() == expected.tolist()
        assert values.tolist() == dense[expected, feature].tolist()
