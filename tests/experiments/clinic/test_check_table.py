import io

from rich.console import Console

from experiments.clinic.check import CheckReport
from experiments.clinic.check_table import render_report
from experiments.clinic.measurement import Measurement


def test_a_report_fits_eighty_columns_and_says_what_was_missed():
    met = Measurement("host: diagnosis, seen synonyms", 0.998, 1500, 0.996, 1.0, bar=0.97, null=0.03)
    missed = Measurement("splice: delta CE with resid_post reconstructed", 0.3, 600, 0.28, 0.33, bar=0.25, at_most=True)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render_report(CheckReport((met, missed))))
    text = console.export_text()
    assert "1 missed" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "0.996 to 1.000" in text
    assert text.count("MISSED") == 1
