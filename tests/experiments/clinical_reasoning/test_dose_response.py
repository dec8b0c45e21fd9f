"""Doses and responses: planted steps are found, flat ones are not, and the bundle's curves are sound."""

from itertools import islice

import pytest

from circuits.workbench import open_workbench
from experiments.clinic.knowledge import FINDINGS
from experiments.clinical_reasoning.analyses.dose_response import measure, present
from experiments.clinical_reasoning.analyses.dose_response.curves import step_ceiling
from experiments.clinical_reasoning.analyses.dose_response.monotone import isotonic_fit, spearman
from experiments.clinical_reasoning.analyses.dose_response.series import dose_series
from experiments.clinical_reasoning.clinic_pairs import ClinicPairs
from experiments.clinical_reasoning.subject import Subject
from experiments.report.contents import Report
from experiments.report.markdown import report_markdown
from experiments.report.page import report_page
from sae.bundle import find_bundle

needs_bundle = pytest.mark.skipif(find_bundle("clinic") is None, reason="the bundled model is not in this checkout")


@pytest.fixture(scope="module")
def bench():
    return open_workbench("clinic")


def test_rank_correlation_of_known_curves():
    assert spearman([1.0, 2.0, 5.0]) == pytest.approx(1.0)
    assert spearman([5.0, 2.0, 1.0]) == pytest.approx(-1.0)
    assert spearman([0.0, 0.0, 1.0, 1.0]) == pytest.approx(0.8**0.5)
    assert spearman([2.0, 2.0, 2.0]) is None
    assert spearman([1.0, 2.0]) is None


def test_a_step_is_fitted_where_it_is():
    fit = isotonic_fit([0.0, 0.1, 0.0, 5.0, 4.9, 5.1])
    assert fit.crossing == 3
    assert fit.explained > 0.99
    assert list(fit.values) == sorted(fit.values)


@pytest.mark.parametrize("values", [[1.0, 1.0, 1.0], [3.0, 2.0, 1.0]])
def test_what_does_not_rise_crosses_nowhere(values):
    assert isotonic_fit(values).crossing is None
    assert isotonic_fit(values).explained == pytest.approx(0.0)


def planted(response, *, latent):
    """A record of which m and the latent are what is planted."""
    presence = [False] * 4 + [True] * 6
    series = [
        {
            "finding": "fever",
            "template": f"template {i % 6}",
            "doses": [36.4 + 0.4 * j for j in range(10)],
            "is_present": presence,
            "base_metric": -2.0,
            "metric": [
                -2.0 + (4.0 if each else 0.0) * response + 0.01 * ((i + j) % 3) for j, each in enumerate(presence)
            ],
            "activation": [float(each) * latent for each in presence],
            "twin_activation": [0.0] * 10,
            "other_activations": [[float((i + j) % 2) for j in range(10)]],
            "moved": {
                name: [share * response * 4.0 * each for each in presence]
                for name, share in (
                    ("latent", 0.6 * latent),
                    ("latents", 0.8 * latent),
                    ("twin", 0.01),
                    ("twins", 0.02),
                    ("errors", 0.1),
                    ("dense", 1.0),
                )
            },
        }
        for i in range(12)
    ]
    return {
        "counts": {"fever": {"drawn": 20, "wrong": 2}},
        "latents": {"fever": [{"site": "resid_post.1", "feature": 617, "label": "pos:fever"}]},
        "series": series,
    }


def rendered(presented):
    report = Report("e", "p", "t", "c", presented.findings, (), {}, {}, (presented.section,))
    return report_markdown(report), report_page(report)


def test_a_planted_step_and_its_latent_are_found():
    presented = present(planted(1.0, latent=1.0))
    findings = " ".join(presented.findings)
    assert "m rises with the dose" in findings
    assert "1 of 1 quantities have a mediating latent" in findings
    model = presented.section.tables[0].rows[-1]
    assert model.cells["threshold recovered"].value == 1
    assert model.cells["Spearman of the true step"].value == pytest.approx(
        step_ceiling(planted(1.0, latent=1.0)["series"][0])
    )
    markdown, page = rendered(presented)
    assert "resid_post.1/617 (pos:fever)" in markdown
    assert "<figure" in page


def test_a_latent_that_carries_nothing_is_no_mediating_one():
    presented = present(planted(1.0, latent=0.0))
    assert "By the stated rule the model has no mediating latent for fever." in presented.findings
    assert [table.name for table in presented.section.tables] == ["dose_response", "dose_mediation"]
    rendered(presented)


def test_a_flat_model_recovers_no_threshold():
    presented = present(planted(0.0, latent=0.0))
    model = presented.section.tables[0].rows[-1]
    assert model.cells["threshold recovered"].value < 0.5
    assert "The bar of 0.8 is missed." in presented.findings[0]


@needs_bundle
def test_series_say_every_dose_in_as_many_tokens(bench):
    tokenizer = bench.host.tokenizer
    for pair in islice(ClinicPairs(tokenizer).pairs("value", seed=4), 6):
        series = dose_series(tokenizer, pair)
        measurement = FINDINGS[series.finding].measurement
        assert series.base.changed_from == f"neg:{series.finding}"
        assert len(series.doses) > 10
        assert sorted(series.is_present) == list(series.is_present)
        assert {*series.is_present} == {True, False}
        for dose, each in zip(series.doses, series.pairs, strict=True):
            assert measurement.phrase(dose) in each.changed_prompt
            assert len(tokenizer(each.changed_prompt)["input_ids"]) == len(tokenizer(pair.prompt)["input_ids"])
            (span,) = [span for span in each.changed_spans if span.concept.startswith("dose:")]
            assert each.changed_prompt[span.start : span.end] == measurement.phrase(dose)


@needs_bundle
def test_the_bundle_follows_the_dose(bench):
    subject = Subject("clinic", bench, ClinicPairs(bench.host.tokenizer), is_clinic=True)
    record = measure(subject, size=6, seed=1)
    assert record["series"]
    for series in record["series"]:
        rise = [m - series["base_metric"] for m in series["metric"]]
        above = [r for r, is_present in zip(rise, series["is_present"], strict=True) if is_present]
        dense = [r for r, is_present in zip(series["moved"]["dense"], series["is_present"], strict=True) if is_present]
        assert sum(above) > 0
        assert sum(dense) / sum(above) == pytest.approx(1.0, abs=0.2)
    rendered(present(record))
