"""The report of a record: what it says whether or not the claim holds, and that it can be written."""

from html import unescape

import pytest

from experiments.clinical_reasoning.analyses.ground_truth import present
from experiments.clinical_reasoning.analyses.ground_truth.bases import BROAD, DOMAIN, NEURONS
from experiments.clinical_reasoning.analyses.ground_truth.measuring import DEFAULT
from experiments.clinical_reasoning.analyses.ground_truth.ranked_nodes import ALL, ANSWER, GROUPS, MASK
from experiments.clinical_reasoning.analyses.ground_truth.recall import Recall
from experiments.clinical_reasoning.analyses.ground_truth.units import SIZES, Recalls
from experiments.clinical_reasoning.analysis import ANALYSES
from experiments.report.contents import Report
from experiments.report.report_files import read_report, write_report

ARMS = (DEFAULT, (DOMAIN, "attribution_patching"), (BROAD, DEFAULT[1]), (NEURONS, DEFAULT[1]), (DOMAIN, MASK))
N_CASES = 6


def recalled(first, *, chance=0.1, is_nameable=True):
    by_size = tuple(min(1.0, chance * (i + 1)) for i in range(len(SIZES)))
    return Recall(is_nameable, first is not None, first, by_size, chance, chance, chance)


def mention(name, *, n_flips, is_decisive):
    return {
        "name": name, "is_present": True, "is_measured": False, "is_decisive": is_decisive, "n_swaps": 4,
        "n_flips": n_flips, "is_cause": n_flips >= 2,
    }  # fmt: skip


def record(*, first=3, bystander=60, chance=0.1, asked=("cause", "diagnosis", "whole cause", "whole bystander")):
    """Every case has one cause, recalled from `first` nodes on but not at the answer position, and one bystander."""
    case = {"mentions": [mention("fever", n_flips=3, is_decisive=True), mention("cough", n_flips=1, is_decisive=False)]}
    recalls = []
    for basis, method in ARMS:
        for question in asked:
            for group in GROUPS:
                columns = Recalls()
                found = bystander if question == "whole bystander" else first
                for index in range(N_CASES):
                    columns.add(index, [recalled(None if group == ANSWER else found, chance=chance)])
                where = {"basis": basis, "method": method, "question": question, "group": group}
                recalls.append({**where, **columns.to_json()})
    cases = list(range(N_CASES))
    counts = {"circuit": [[40, 20, 10, 8, 4, 3]] * N_CASES, "differing": [[200, 50, 40, 8, 8, 4]] * N_CASES}
    return {
        "sizes": list(SIZES),
        "bar_size": 40,
        "cases": [{"template": str(index % 3), **case} for index in cases],
        "treated": [{"template": str(index % 3), "mentions": []} for index in cases],
        "excluded": {"wrong diagnosis": 2, "wrong drug": 0},
        "bases": {DOMAIN: {"features": 100, "named": 20, "finding": 10, "diagnosis": 5}},
        "recalls": recalls,
        "right": [{"basis": basis, "method": method, "case": cases, **counts} for basis, method in ARMS],
        "errors": [
            {
                "basis": DOMAIN,
                "site_names": ["resid_post.0", "resid_post.1"],
                "case": cases,
                "errors": [[0.1, 0.4]] * N_CASES,
                "sites": [[1.0, 2.0]] * N_CASES,
            }
        ],
        "by_cause": [
            {
                "case": index, "name": "fever", "first": first, "first_late": None, "nameable": True,
                "random_differing": list(recalled(first, chance=chance).random_differing),
            }
            for index in cases
        ],
        "picture": {
            "template": "0", "replaced": {"fever": "cough"}, "target": "flu", "foil": "cold", "n_features": 3,
            "svg": '<svg xmlns="http://www.w3.org/2000/svg"></svg>\n',
        },
    }  # fmt: skip


def table(presented, name):
    return next(each for each in presented.section.tables if each.name == f"ground_truth_{name}")


def test_a_planted_recall_stands_in_the_tables_beside_its_nulls():
    presented = present(record(first=3, chance=0.1))
    row = table(presented, "causes").rows[0]
    assert row.label == "domain SAEs, integrated gradients"
    assert row.cells["5 nodes"].value == row.cells["40 nodes"].value == 1
    assert row.cells["40 nodes"].n == 3, "templates are the units"
    assert row.nulls["random differing nodes"].value == pytest.approx(0.4)
    assert row.nulls["random differing nodes, 5"].value == pytest.approx(0.1)
    places = {each.label: each for each in table(presented, "places").rows}
    assert places[f"{ALL}: domain SAEs, integrated gradients"].cells["40 nodes"].value == 1
    assert places[f"{ANSWER}: domain SAEs, integrated gradients"].cells["40 nodes"].value == 0
    assert table(presented, "errors").rows[0].cells["resid_post.1"].value == pytest.approx(0.2)
    assert table(presented, "precision").rows[0].cells["right of the named"].value == pytest.approx(11 / 20)
    assert table(presented, "precision").rows[0].cells["right of all nodes"].value == pytest.approx(11 / 40)
    assert table(presented, "agreement").rows[0].cells["both say the same"].value == 1
    assert table(presented, "agreement").rows[1].cells["of the causes, decisive"].value == pytest.approx(0.5)
    [finding] = table(presented, "findings").rows
    assert finding.cells["p, Holm"].value == pytest.approx(0.1**6)


def test_what_is_said_follows_the_numbers():
    held, failed = " ".join(present(record()).findings), " ".join(present(record(first=60, chance=0.3)).findings)
    assert "the wanted 0.8 is reached" in held
    assert "the ranking tells them apart" in held
    assert "the wanted 0.8 is missed" in failed
    assert "Below 0.2 as wanted, of the nulls: none;" in failed
    assert "the ranking does not tell them apart" in failed
    turned = " ".join(present(record(first=60, bystander=3)).findings)
    assert "bystanders come first" in turned


def test_questions_that_no_case_was_asked_have_no_table():
    presented = present(record(asked=("cause", "diagnosis")))
    names = {each.name for each in presented.section.tables}
    assert not names & {"ground_truth_whole", "ground_truth_conditions"}
    asked = present(record(asked=("cause", "diagnosis", "condition")))
    assert table(asked, "conditions").rows[0].cells["40 nodes, answer position"].value == 0


def test_the_report_can_be_written_and_read(tmp_path):
    presented = present(record())
    report = Report(
        "clinical-reasoning", "test", "A title", "A claim?", presented.findings, ("A warning.",), {}, {"all": 1.0},
        (presented.section,),
    )  # fmt: skip
    write_report(report, tmp_path)
    assert read_report(tmp_path) == report
    text, page = ((tmp_path / name).read_text("utf-8") for name in ("report.md", "report.html"))
    for each in presented.section.tables:
        assert each.title in text
        assert each.title in unescape(page)
    figures = presented.section.figures
    assert [figure.name for figure in figures] == [
        "ground_truth_methods",
        "ground_truth_bases",
        "ground_truth_circuit",
    ]
    assert "fever becomes cough" in figures[2].title


def test_it_is_listed():
    [analysis] = [each for each in ANALYSES if each.name == "ground-truth"]
    assert analysis.needs_clinic
    assert analysis.code.present is present
