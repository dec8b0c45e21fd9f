"""Reports: checked contents, JSON that obeys its schema and comes back, Markdown and page."""

import json
import re
from dataclasses import replace

import pytest
from example_report import EV, FIGURE, NULL, TABLE, example_report
from matplotlib import pyplot

from experiments.report.contents import Row, Section, Table
from experiments.report.markdown import report_markdown
from experiments.report.page import report_page
from experiments.report.picture import svg_of
from experiments.report.report_files import read_report, write_report
from experiments.report.report_json import check_report, report_from_json, report_to_json
from experiments.report.wording import figure_of, interval_of, number
from sae.measurement import Measurement


def test_json_comes_back_as_the_report_it_was():
    assert report_from_json(report_to_json(example_report())) == example_report()


def test_every_number_is_a_record_that_its_cell_names():
    content = report_to_json(example_report())
    cell = content["sections"][0]["tables"][0]["rows"][0]["cells"]["explained variance"]
    record = content["records"][cell["record"]]
    assert (record["value"], record["low"], record["high"]) == (EV.value, EV.low, EV.high)
    assert (record["table"], record["row"], record["column"]) == ("fidelity", "domain", "explained variance")


def test_the_hash_is_that_of_the_configuration():
    first, same = report_to_json(example_report()), report_to_json(example_report(findings=("Other words.",)))
    assert first["config_hash"] == same["config_hash"]
    assert first["config_hash"] != report_to_json(example_report(config={"seeds": [0]}))["config_hash"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda c: c.pop("records"), "at the top, 'records' is a required property"),
        (lambda c: c["records"].popitem(), "record '.*' is missing"),
        (lambda c: c["sections"][0]["tables"][0].update(rows=[]), "at sections/0/tables/0/rows"),
        (lambda c: c.update(stranger=1), "'stranger' was unexpected"),
        (lambda c: next(iter(c["records"].values())).update(value="high"), "'high' is not of type 'number', 'null'"),
    ],
)
def test_what_is_no_report_is_refused(damage, message):
    content = report_to_json(example_report())
    damage(content)
    with pytest.raises(ValueError, match=message):
        check_report(content)


def test_a_table_is_refused_without_rows_nulls_or_columns_of_its_own():
    with pytest.raises(ValueError, match="'t' has no row"):
        Table("t", "T", ("a",), (), ("null",))
    with pytest.raises(ValueError, match="'t' has neither nulls nor a note"):
        Table("t", "T", ("a",), (Row("r", {"a": EV}),))
    with pytest.raises(ValueError, match=r"fills \['b'\], no columns"):
        Table("t", "T", ("a",), (Row("r", {"b": EV}),), note="no null")
    with pytest.raises(ValueError, match="two rows of one label"):
        Table("t", "T", ("a",), (Row("r", {"a": EV}), Row("r", {"a": EV})), note="no null")


def test_two_tables_or_figures_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two tables have one name"):
        example_report(sections=(Section("A", tables=(TABLE,)), Section("B", tables=(TABLE,))))
    with pytest.raises(ValueError, match="two figures have one name"):
        example_report(sections=(Section("A", figures=(FIGURE, FIGURE)),))


def test_markdown_holds_numbers_intervals_nulls_and_warnings():
    text = report_markdown(example_report())
    assert "| domain | 0.912 (0.905 to 0.920) | \N{EM DASH} | clinical | \N{MINUS SIGN}4e\N{MINUS SIGN}04 |" in text
    assert "> Research tool, not for care." in text
    assert "![Explained variance against L0](ev_l0.svg)" in text


def test_bars_in_markdown_cells_are_escaped():
    row = Row("a|b", {"text": "line\nbreak"})
    table = Table("t", "T", ("text",), (row,), note="words only")
    assert "| a\\|b | line break |" in report_markdown(example_report(sections=(Section("S", tables=(table,)),)))


def test_the_page_is_whole_escaped_and_its_links_lead_somewhere():
    hostile = "<img src=x onerror=alert(1)>"
    table = replace(TABLE, title=hostile, rows=(replace(TABLE.rows[0], label=hostile),))
    page = report_page(example_report(title=hostile, sections=(Section(hostile, hostile, (table,), (FIGURE,)),)))
    assert page.startswith("<!doctype html>")
    assert "<img src=x" not in page
    ids = set(re.findall(r'id="([^"]+)"', page))
    links = re.findall(r'href="#([^"]+)"', page)
    assert len([link for link in links if link.startswith("record-")]) == 3
    assert set(links) <= ids
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", page)


def test_names_in_backticks_are_set_as_code_on_the_page_and_stay_escaped():
    page = report_page(
        example_report(findings=("Judged on text, `domain, <b>bits</b>` explains more; a lone ` stays.",))
    )
    assert "<code>domain, &lt;b&gt;bits&lt;/b&gt;</code>" in page
    assert "a lone ` stays" in page


def test_files_are_written_and_read(tmp_path):
    write_report(example_report(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "ev_l0.svg",
        "report.html",
        "report.json",
        "report.md",
    ]
    assert read_report(tmp_path) == example_report()
    assert read_report(tmp_path / "report.json") == example_report()


def test_a_directory_without_a_report_or_a_damaged_one_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"there is no report\.json in"):
        read_report(tmp_path)
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged, expected JSON"):
        read_report(tmp_path)
    (tmp_path / "report.json").write_text(json.dumps({"title": "x"}))
    with pytest.raises(ValueError, match="this is no report of an experiment"):
        read_report(tmp_path)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.000"), (0.12345, "0.123"), (-3.14159, "\N{MINUS SIGN}3.14"), (12345.6, "12,346")]
)
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_units_and_missing_numbers_are_said():
    assert figure_of(Measurement(1.5, 1.0, 2.0, 3, "nats")) == "1.5 nats"
    assert figure_of(Measurement(None, None, None, 0, reason="none")) == "\N{EM DASH}"
    assert interval_of(NULL) == ""


def test_a_picture_is_the_same_text_twice():
    def picture() -> str:
        figure, axes = pyplot.subplots()
        axes.plot([0, 1], [1, 0])
        return svg_of(figure)

    assert picture() == picture()
    assert not any(line.endswith(" ") for line in picture().splitlines())
