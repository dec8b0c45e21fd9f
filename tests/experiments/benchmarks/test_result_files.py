"""Tables of measurements: written whole, read back, added to row by row."""

import pytest

from experiments.benchmarks.result_files import append_row, machine, read_rows, write_rows


def test_rows_come_back_as_text(tmp_path):
    write_rows(tmp_path / "table.csv", [{"name": "ours, fast", "value": 1.5}, {"name": "theirs", "value": ""}])

    rows = read_rows(tmp_path / "table.csv")

    assert rows == [{"name": "ours, fast", "value": "1.5"}, {"name": "theirs", "value": ""}]


def test_a_missing_table_has_no_rows(tmp_path):
    assert read_rows(tmp_path / "none.csv") == []


def test_rows_are_added_at_the_end(tmp_path):
    table = tmp_path / "deep" / "table.csv"
    append_row(table, {"a": 1})
    append_row(table, {"a": 2})

    assert read_rows(table) == [{"a": "1"}, {"a": "2"}]
    assert [path.name for path in table.parent.iterdir()] == ["table.csv"]


def test_a_row_of_another_table_is_refused(tmp_path):
    append_row(tmp_path / "table.csv", {"a": 1})

    with pytest.raises(ValueError, match=r"has columns \['a'\], expected \['b'\]"):
        append_row(tmp_path / "table.csv", {"b": 1})

    assert read_rows(tmp_path / "table.csv") == [{"a": "1"}]


def test_a_row_names_the_machine():
    found = machine()

    assert set(found) == {"processor", "cores", "threads", "gpu", "torch", "sae_lens", "date"}
    assert found["processor"]
