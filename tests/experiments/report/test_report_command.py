"""`experiments report` prints a report and writes its files anew."""

import json

from click.testing import CliRunner
from example_report import example_report

from experiments.cli import main
from experiments.report.report_files import write_report


def test_the_report_is_printed_and_its_files_are_written_anew(tmp_path):
    write_report(example_report(), tmp_path)
    page = (tmp_path / "report.html").read_text()
    (tmp_path / "report.html").write_text("stale")
    ran = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert ran.exit_code == 0, ran.output
    assert ran.stdout == (tmp_path / "report.md").read_text()
    assert (tmp_path / "report.html").read_text() == page


def test_json_is_the_record(tmp_path):
    write_report(example_report(), tmp_path)
    ran = CliRunner().invoke(main, ["report", str(tmp_path / "report.json"), "--json"])
    written, printed = json.loads((tmp_path / "report.json").read_text()), json.loads(ran.stdout)
    assert printed == written


def test_no_report_is_one_line(tmp_path):
    ran = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert ran.exit_code == 1
    assert ran.output.startswith("Error: there is no report.json in")
