import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from sae.probing.binary_scores import always_yes_f1, area_under_roc, binary_scores


def case(n=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(-3, 4, (n,), generator=generator).double()
    return scores, torch.rand(n, generator=generator) < 0.4, torch.randint(0, 3, (5, n), generator=generator).double()


def test_scores_are_those_of_scikit_learn_on_every_resample():
    scores, truth, counts = case()
    found = binary_scores(scores, truth, counts)
    for draw, weights in enumerate(counts):
        said = scores > 0
        expected = {
            "f1": f1_score(truth, said, sample_weight=weights),
            "auroc": roc_auc_score(truth, scores, sample_weight=weights),
            "balanced_accuracy": balanced_accuracy_score(truth, said, sample_weight=weights),
        }
        for name, value in expected.items():
            assert found[name][draw].item() == pytest.approx(value), name


def test_a_score_that_says_nothing_is_at_chance():
    _, truth, counts = case()
    assert area_under_roc(torch.zeros(40).double(), truth, counts).tolist() == pytest.approx([0.5] * 5)


def test_a_draw_of_one_class_has_no_score():
    scores, truth, _ = case()
    found = binary_scores(scores, truth, truth.double()[None])
    assert all(value.isnan().all() for value in found.values())


def test_yes_to_all():
    truth = torch.arange(40) < 10
    counts = torch.ones(1, 40, dtype=torch.float64)
    found = binary_scores(torch.ones(40).double(), truth, counts)
    assert found["f1"].item() == pytest.approx(always_yes_f1(0.25))
    assert found["balanced_accuracy"].item() == 0.5
