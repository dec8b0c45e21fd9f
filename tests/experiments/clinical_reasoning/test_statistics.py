"""Intervals over templates, Holm, McNemar, sign flips: known values and degenerate cases."""

import pytest
import torch

from experiments.clinical_reasoning.statistics import by_template, holm, mcnemar, mean, quantile, ratio, sign_flip
from sae.measurement import bootstrap


def test_one_pair_a_template_is_the_plain_bootstrap():
    values = [0.1, 0.9, 0.4, 0.4, 0.7]
    table = torch.tensor(values, dtype=torch.float64)
    plain = bootstrap(lambda counts: counts @ table / counts.sum(dim=1), 5)
    assert by_template(values, list("abcde")) == plain


def test_pairs_of_a_template_are_drawn_together():
    values = [0.0, 1.0] * 20
    alone = by_template(values, [str(i) for i in range(40)])
    together = by_template(values, ["even", "odd"] * 20)
    assert alone.value == together.value == 0.5
    assert (together.low, together.high) == (0.0, 1.0)
    assert alone.high - alone.low < 0.4
    assert together.n == 2
    # copies of pairs in the same templates add nothing
    copied = by_template(values * 3, [str(i) for i in range(40)] * 3)
    assert (copied.low, copied.high) == (alone.low, alone.high)


def test_one_template_has_no_interval():
    measured = by_template([1.0, 2.0], ["a", "a"])
    assert measured.value == 1.5
    assert measured.low is None
    assert measured.reason


def test_no_pair_has_no_value():
    assert by_template([], []).value is None


def test_a_template_is_expected_for_each_pair():
    with pytest.raises(ValueError, match="2 values and 1 templates"):
        by_template([1.0, 2.0], ["a"])


def test_a_ratio_is_of_sums_and_open_over_nothing():
    values = [(1.0, 2.0), (3.0, 2.0), (0.0, 4.0)]
    assert by_template(values, list("abc"), ratio).value == pytest.approx(0.5)
    assert by_template([(1.0, 0.0), (2.0, 0.0)], list("ab"), ratio).value is None


@pytest.mark.parametrize(("q", "expected"), [(0.0, 1.0), (0.5, 2.0), (1.0, 9.0)])
def test_quantiles_are_of_the_pairs(q, expected):
    assert by_template([9.0, 1.0, 2.0], list("abc"), quantile(q)).value == expected


def test_counts_repeat_values():
    counts = torch.tensor([[3.0, 0.0, 1.0]], dtype=torch.float64)
    table = torch.tensor([[1.0], [5.0], [9.0]], dtype=torch.float64)
    assert mean(table, counts).item() == 3.0
    assert quantile(0.5)(table, counts).item() == 1.0


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5]) == [0.5]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_mcnemar_by_hand():
    assert mcnemar([True] * 5, [False] * 5) == pytest.approx(2 / 32)
    assert mcnemar([True, False, True], [True, False, True]) == 1.0
    assert mcnemar([True, False], [False, True]) == 1.0
    assert mcnemar([], []) == 1.0


def test_signs_of_templates_are_turned_together():
    assert sign_flip([1.0] * 10, [str(i) for i in range(10)]) == pytest.approx(2 / 1024, abs=2e-3)
    assert sign_flip([1.0] * 10, ["one"] * 10) == 1.0
    assert sign_flip([0.0, 0.0], ["a", "b"]) == 1.0
    assert sign_flip([1.0, -1.0] * 5, [str(i) for i in range(10)]) == 1.0
