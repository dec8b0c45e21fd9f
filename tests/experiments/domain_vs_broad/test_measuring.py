"""The second stage of a tiny matrix: what is measured already is not measured again, and the report holds it."""

import json
import shutil
from dataclasses import replace

import pytest

from experiments.domain_vs_broad.arms import TRAINED_NULLS
from experiments.domain_vs_broad.measures import measuring
from experiments.domain_vs_broad.measures.measured_host import MeasuredHost
from experiments.domain_vs_broad.measures.measuring import (
    PARTS,
    load_measures,
    measure_matrix,
    measures_plan,
    seconds_of_measures,
)
from experiments.domain_vs_broad.measures.ratios import error_share, rules
from experiments.domain_vs_broad.measures.sections import measure_findings, measure_sections, measured_hosts
from experiments.domain_vs_broad.reporting import matrix_report
from experiments.domain_vs_broad.running import Matrix, run_matrix
from experiments.report.report_files import read_report, write_report


@pytest.fixture
def tables(measured):
    return {table.name: table for section in measure_sections(measured_hosts(measured)) for table in section.tables}


def test_every_dictionary_has_its_record_and_the_trained_nulls_too(measured):
    directories = [measured.cell_directory(cell) for cell in measured.cells]
    directories += [measured.null_directory("after", arm) for arm in TRAINED_NULLS]
    for directory in directories:
        record = load_measures(directory)
        assert set(record["seconds"]) == set(PARTS)
        assert record["dictionary"] == "l0-6"
        assert "reason" not in record["residual"]
        assert record["localisation"] == {"reason": "the corpus does not say what its texts express"}
    assert seconds_of_measures(measured) > 0


def test_what_is_measured_is_not_measured_again(measured, monkeypatch):
    monkeypatch.setattr(measuring, "measure_dictionary", None)
    measure_matrix(measured, device="cpu")
    assert "5 done, 0 to do: 0 minutes" in measures_plan(measured)


def test_other_sizes_are_measured_anew_and_one_that_was_cut_short_is_measured_alone(measured, monkeypatch, tmp_path):
    other = replace(measured.profile, measured=replace(measured.profile.measured, features=3))
    assert "0 done, 5 to do" in measures_plan(Matrix(other, measured.directory))
    path = measured.cell_directory(measured.cells[0]) / "measures.json"
    content = path.read_text()
    path.unlink()
    try:
        assert "4 done, 1 to do" in measures_plan(measured)
        monkeypatch.setattr(measuring, "measure_dictionary", lambda *arguments: {"seconds": {}, "by": "a test"})
        measure_matrix(measured, device="cpu")
        assert json.loads(path.read_text())["by"] == "a test"
    finally:
        path.write_text(content)


def test_sizes_of_measures_do_not_make_other_cells(measured):
    other = replace(measured.profile, measured=replace(measured.profile.measured, features=3))
    assert Matrix(other, measured.directory).missing == []
    run_matrix(other, measured.directory, device="cpu")


def test_the_domain_arm_leaves_less_error_than_the_broad_one_and_nulls_are_columns(tables):
    rows = {row.label: row for row in tables["residual_after"].rows}
    assert rows["domain"].cells["FVU"].high < rows["broad"].cells["FVU"].low
    assert set(rows["domain"].nulls) == {"frozen random decoder", "host of random weights"}
    assert rows["domain, PCA of equal EV"].cells["linear share"].value == pytest.approx(1, abs=1e-3)
    closest = rows["domain, PCA of equal EV"].cells["FVU"].value
    assert closest == pytest.approx(rows["domain"].cells["FVU"].value, abs=0.1)


def test_differences_are_those_of_the_arms(measured, tables):
    host = MeasuredHost(measured, "after")
    ratio = error_share("sae", "nonlinear")
    difference = host.of("domain", "residual", ratio).value - host.of("broad", "residual", ratio).value
    row = next(row for row in tables["features_after"].rows if row.label == "nonlinear FVU")
    assert row.cells["domain"].value == pytest.approx(difference)
    assert row.nulls["second seed"].value is None


def test_explanations_stand_beside_their_nulls(tables):
    row = tables["lexical_after"].rows[0]
    assert {"shuffled explanations", "topic alone", "always yes", "random directions"} <= set(row.nulls)
    assert row.cells["positives"].startswith("0.500 and ")
    assert "ontology_after" not in tables


def test_what_is_beyond_nulls_is_the_difference_and_a_finding(measured, tables):
    host = MeasuredHost(measured, "after")
    rows = {row.label: row.cells for row in tables["beyond_nulls_after"].rows}
    metric = "balanced_accuracy"

    def of(arm, metric, **options):
        return host.of(arm, "interpretability", rules("lexical", metric, **options)).value

    nulls = {
        "not looking": 0.5,
        "shuffled explanations": of("domain", f"shuffled_{metric}"),
        "random directions": of("domain", metric, kind="random"),
        "frozen random decoder": of("frozen-decoder", metric),
    }
    for title, null in nulls.items():
        row = rows[f"lexical balanced accuracy less {title}"]
        assert row["domain"].value == pytest.approx(of("domain", metric) - null)
    assert not any(label.startswith("localisation") for label in rows)
    [finding] = measure_findings(measured_hosts(measured))
    assert finding.startswith(f"Of {len(rows)} nulls of scores of features")


def test_a_dictionary_without_a_part_is_named(measured, tmp_path):
    shutil.copytree(measured.directory, tmp_path / "work")
    again = Matrix(measured.profile, tmp_path / "work")
    path = again.cell_directory(again.cells[1]) / "measures.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"residual": {"reason": "a test took it"}}))
    section = measure_sections(measured_hosts(again))[0]
    assert "of a dictionary of `broad`, host after adaptation, is left out: a test took it." in section.text
    assert not any(row.label.startswith("broad") for row in section.tables[0].rows)


def test_what_the_text_does_not_know_is_left_out_with_a_line(measured):
    sections = {section.title: section for section in measure_sections(measured_hosts(measured))}
    section = sections["Do features fire where their concepts are told"]
    assert section.tables == ()
    assert "is left out: the corpus does not say what its texts express." in section.text


def test_a_matrix_that_was_not_measured_says_so(matrix, tmp_path):
    unmeasured = Matrix(matrix.profile, tmp_path)
    sections = measure_sections(measured_hosts(unmeasured))
    assert all(section.tables == () for section in sections)
    assert "it was not measured yet" in sections[0].text
    assert measure_findings(measured_hosts(unmeasured)) == ()


def test_a_dictionary_on_too_little_text_keeps_the_reason(measured, tmp_path):
    short = replace(measured.profile, measured=replace(measured.profile.measured, tokens=60))
    shutil.copytree(measured.directory, tmp_path / "work")
    again = Matrix(short, tmp_path / "work")
    measure_matrix(again, device="cpu")
    assert "tokens are too few to fit maps" in MeasuredHost(again, "after").reason("residual")
    assert "no feature is active in enough documents" in MeasuredHost(again, "after").reason("interpretability")


def test_the_report_with_measures_is_whole(measured, tmp_path):
    report = matrix_report(measured)
    write_report(report, tmp_path)
    assert read_report(tmp_path) == report
    assert report.seconds["measures"] > 0
    assert {"residual_after", "f1_after"} <= {figure.name for figure in report.figures}
    assert str(measured.directory) not in (tmp_path / "report.md").read_text()
