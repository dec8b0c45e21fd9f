"""The doctor finds nothing wrong with the metrics as they are, and something as soon as one is broken."""

import io
import math
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from sae.evaluation import doctor, fidelity
from sae.evaluation.degenerate import constant_sae, identity_sae, pca_sae, projection_sae, random_sae, scaling_sae
from sae.evaluation.doctor import Check, run_doctor
from sae.evaluation.doctor_table import render_checks
from sae.evaluation.known_scores import (
    absent_sign_share,
    eigenvalue_share,
    expected_l0,
    explained_by_random,
    explained_by_scaling,
    threshold_of_density,
)

X = torch.tensor([[1.0, 2.0], [3.0, 2.0], [1.0, 6.0], [3.0, 6.0]])  # mean (2, 4), variances 1 and 4


def documents(host, n=6):
    words = [" ".join(f"w{(3 * row + step) % 40}" for step in range(8 + row)) for row in range(n)]
    return [host.tokenise(text) for text in words]


def off(checks):
    return {(check.dictionary, check.metric) for check in checks if not check.is_ok}


def printed(checks, width):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(render_checks(checks))
    return console.export_text()


# The dictionaries


def test_the_identity_gives_everything_back():
    sae = identity_sae(2)

    assert torch.equal(sae.decode(sae.encode(-X)), -X)
    assert ((sae.encode(X) > 0).sum(1) == 2).all()


def test_shrinking_moves_towards_the_centre():
    sae = scaling_sae(torch.tensor([2.0, 4.0]), factor=0.5)

    assert torch.equal(sae.decode(sae.encode(X[:1])), torch.tensor([[1.5, 3.0]]))


def test_a_constant_has_no_active_feature():
    sae = constant_sae(torch.tensor([5.0, 6.0]))

    assert sae.encode(X).count_nonzero() == 0
    assert torch.equal(sae.decode(sae.encode(X))[0], torch.tensor([5.0, 6.0]))


def test_a_projection_keeps_one_direction():
    sae = projection_sae(torch.tensor([[0.0, 1.0]]), torch.zeros(2))

    assert torch.equal(sae.decode(sae.encode(X)), X * torch.tensor([0.0, 1.0]))


def test_the_first_component_is_the_direction_of_most_variance():
    sae = pca_sae(X, 1)

    torch.testing.assert_close(sae.decode(sae.encode(X)), X * torch.tensor([0.0, 1.0]) + torch.tensor([2.0, 0.0]))


# What they must score, by hand


def test_scores_of_four_points_by_hand():
    assert explained_by_scaling(X, torch.tensor([2.0, 4.0]), factor=0.0) == 0
    assert explained_by_scaling(X, torch.tensor([2.0, 4.0]), factor=0.5) == 0.75
    assert explained_by_scaling(X, torch.zeros(2), factor=0.0) == pytest.approx(-20 / 5)
    assert eigenvalue_share(X, 1) == pytest.approx(0.8)
    assert absent_sign_share(X, torch.zeros(2)) == 0.5
    assert absent_sign_share(X, torch.tensor([2.0, 4.0])) == 0


def test_the_threshold_of_a_density_is_the_normal_quantile():
    assert threshold_of_density(0.5) == pytest.approx(0)
    assert threshold_of_density(0.025) == pytest.approx(1.959964, abs=1e-5)


def test_random_scores_are_those_of_a_large_sample():
    sae = random_sae(8, 16, threshold=0.7, seed=3)
    x = torch.randn(200_000, 8, generator=torch.Generator().manual_seed(0))
    feature_acts = sae.encode(x)
    unexplained = (x - sae.decode(feature_acts)).double().square().sum() / x.double().square().sum()

    assert explained_by_random(sae) == pytest.approx(1 - float(unexplained), abs=0.01)
    assert expected_l0(sae) == pytest.approx((feature_acts > 0).sum(1).double().mean().item(), abs=0.02)


# The doctor


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_metrics_are_right(seed):
    checks = run_doctor(seed=seed)

    assert off(checks) == set()
    assert {check.dictionary.split(",")[0].split(" to ")[0] for check in checks} == {
        "identity", "zero", "mean", "shrunk", "PCA", "random", "x and noise", "coins of 0.0625",
    }  # fmt: skip


def test_the_spliced_losses_are_right(tiny_host):
    checks = [check for check in run_doctor(tiny_host, documents(tiny_host)) if check.metric.startswith("spliced")]

    assert [check.expected for check in checks] == [pytest.approx(math.log(tiny_host.vocab_size))]
    assert off(run_doctor(tiny_host, documents(tiny_host))) == set()


def test_a_host_needs_documents(tiny_host):
    with pytest.raises(ValueError, match="there are no documents to predict, expected at least one"):
        run_doctor(tiny_host)


def uncentred(self):
    """1 - |e|² / |x|²: flattering far from the origin."""
    return 1 - self.squared_error / (self.squares + self.n_tokens * float(self.mean.square().sum()))


def test_a_metric_that_forgets_the_mean_is_found(monkeypatch):
    monkeypatch.setattr(fidelity._Scatter, "explained_variance", uncentred)

    found = {dictionary for dictionary, metric in off(run_doctor()) if metric == "explained variance"}

    assert {"zero", "mean", "shrunk to 0.6, about zero"} <= found


def test_a_metric_that_never_goes_below_zero_is_found(monkeypatch):
    true_score = fidelity._Scatter.explained_variance
    monkeypatch.setattr(
        fidelity._Scatter, "explained_variance", lambda self: max(0.0, true_score(self)) if self.squares else None
    )

    assert ("zero", "explained variance") in off(run_doctor())


def with_wrong_counts(result):
    return replace(result, l0=result.l0 + 0.5, dead_share=result.dead_share + 0.01)


def with_wrong_loss(result):
    return replace(result, spliced=result.spliced + 0.1)


def test_a_count_of_features_that_is_wrong_is_found(monkeypatch):
    measure = doctor.measure_fidelity
    monkeypatch.setattr(
        doctor, "measure_fidelity",
        lambda *args, **options: with_wrong_counts(measure(*args, **options)),
    )  # fmt: skip

    assert {metric for _, metric in off(run_doctor())} == {"L0", "dead share"}


def test_a_loss_that_is_wrong_is_found(monkeypatch, tiny_host):
    measure = doctor.measure_spliced_loss
    monkeypatch.setattr(
        doctor, "measure_spliced_loss",
        lambda *args: with_wrong_loss(measure(*args)),
    )  # fmt: skip

    found = off(run_doctor(tiny_host, documents(tiny_host)))

    assert {("identity", "delta CE, nats"), ("zero", "spliced CE, nats")} <= found


# What is shown


def check(measured, **changes):
    return replace(Check("identity", "explained variance", 1.0, measured, 1e-4, "everything is given back"), **changes)


@pytest.mark.parametrize("measured", [None, float("nan"), 0.99, float("inf")])
def test_a_score_that_is_off_or_missing_is_not_ok(measured):
    assert not check(measured).is_ok


def test_json_has_no_number_that_json_lacks():
    assert check(float("nan")).to_json()["measured"] is None
    assert check(0.99995).to_json()["ok"] is True


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_says_which_score_is_off(width):
    text = printed([check(1.0), check(0.5, metric="L0")], width)

    assert text.splitlines()[1].split()[:6] == ["identity", "explained", "variance", "1.0000", "1.0000", "0.0001"]
    assert "off" in text.splitlines()[2]
    assert "1 of 2 scores are off: L0 of identity" in text
    assert all(len(line) <= width for line in text.splitlines())


def test_the_table_says_that_all_is_well():
    assert "all 1 scores are as they must be" in printed([check(1.0)], 80)
