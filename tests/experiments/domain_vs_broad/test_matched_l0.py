"""Arms compared at equal L0: a planted difference is found exactly, equal arms do not differ."""

from dataclasses import replace

import pytest
import torch
from evaluation_cases import SITE, all_activations, at_site, documents
from tiny_models import random_sae

from experiments.domain_vs_broad.matched_l0 import Arms, matched_grid
from sae.evaluation.collecting import collect
from sae.evaluation.degenerate import constant_sae
from sae.evaluation.metrics import METRICS, measure

THRESHOLDS = {"l0-4": 2.0, "l0-8": 1.0, "l0-16": 0.3}
EV = "explained_variance"


@pytest.fixture(scope="module")
def tables(tiny_host):
    """Two seeds of one arm, of dictionaries that get denser."""
    host = tiny_host
    found = documents(host)
    mean = all_activations(host, found).double().mean(0)
    ablations = {"zero": constant_sae(torch.zeros(host.d_model)), "mean": constant_sae(mean.float())}

    def table(seed: int):
        dictionaries = {
            name: at_site(random_sae(host.d_model, 64, seed=seed).with_threshold(torch.full((64,), threshold)))
            for name, threshold in THRESHOLDS.items()
        }
        return collect(host, found, SITE, {**dictionaries, **ablations}, shift=mean)

    return [table(0), table(1)]


def changed(table, factor: float):
    """The same with the squared errors of all dictionaries multiplied."""
    dictionaries = {
        name: replace(found, squared_error=factor * found.squared_error) for name, found in table.dictionaries.items()
    }
    return replace(table, dictionaries=dictionaries)


def test_a_planted_difference_is_found(tables):
    arms = Arms({"better": [changed(table, 0.5) for table in tables], "plain": tables})
    for l0 in matched_grid(arms, ["better", "plain"], 3):
        unexplained = 1 - arms.at("plain", EV, l0).value
        found = arms.difference("better", "plain", EV, l0)
        assert found.value == pytest.approx(0.5 * unexplained, rel=1e-6)
        assert found.low < found.value < found.high


def test_equal_arms_of_one_seed_do_not_differ_on_any_resample(tables):
    arms = Arms({"first": tables[:1], "second": tables[:1]})
    for l0 in matched_grid(arms, ["first", "second"], 3):
        found = arms.difference("first", "second", EV, l0)
        assert (found.value, found.low, found.high) == (0, 0, 0)


def test_at_a_measured_l0_the_curve_is_that_dictionary(tables):
    arms = Arms({"only": tables[:1]})
    for name in THRESHOLDS:
        l0 = measure(METRICS["l0"], tables[0], name).value
        wanted = measure(METRICS[EV], tables[0], name)
        assert arms.at("only", EV, l0).value == pytest.approx(wanted.value)


def test_seeds_widen_the_interval(tables):
    l0 = matched_grid(Arms({"both": tables}), ["both"], 3)[1]
    apart = [tables[0], changed(tables[0], 2.0)]
    one, two = (Arms({"arm": some}).at("arm", EV, l0) for some in (tables[:1], apart))
    assert two.high - two.low > 2 * (one.high - one.low)


def test_arms_without_a_common_l0_have_no_grid(tables):
    def only(*names: str):
        kept = {name: tables[0].dictionaries[name] for name in (*names, "zero", "mean")}
        return [replace(tables[0], dictionaries=kept)]

    arms = Arms({"sparse": only("l0-4"), "dense": only("l0-8", "l0-16")})
    assert matched_grid(arms, ["sparse", "dense"], 3) == []
    assert len(matched_grid(arms, ["dense"], 3)) == 3


def test_arms_of_different_documents_are_refused(tables):
    with pytest.raises(ValueError, match="arms were evaluated on different documents"):
        Arms({"first": tables[:1], "second": [replace(tables[0], digest="another")]})


def test_classes_are_about_their_own_mean(tables):
    arms = Arms({"only": tables[:1]})
    l0 = measure(METRICS["l0"], tables[0], "l0-8").value
    wanted = measure(METRICS[EV], tables[0], "l0-8", position_class="answer")
    found = arms.at("only", EV, l0, position_class="answer")
    assert found.value == pytest.approx(wanted.value)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), rel=0.2)
