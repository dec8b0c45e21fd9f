"""Pictures of tables: every number is in them, and what has none is left out."""

import re

import pytest

from experiments.domain_vs_broad.table_figures import class_figure, overlap_figure, two_by_two_figure
from experiments.report.contents import Row, Table
from sae.measurement import Measurement

EV = "explained variance"


def number(value, width=0.02):
    return Measurement(value, value - width, value + width, 50)


def table(rows, columns=(EV,), nulls=()):
    return Table("t", "A table", columns, tuple(rows), nulls, "no note")


def shown(figure):
    return re.findall(r"<text[^>]*>([^<]*)</text>", figure.svg)


def test_the_matrix_shows_its_numbers_and_says_where_there_are_none():
    rows = [
        Row("trained on domain, judged on domain", {EV: number(0.91)}),
        Row("trained on broad, judged on domain", {EV: Measurement(0.4, None, None, 1, reason="one unit")}),
        Row("judged on broad", {EV: "no L0 is covered by both"}),
    ]
    texts = shown(two_by_two_figure(table(rows), "after"))
    assert {"0.91", "0.89 to 0.93", "0.400"} <= set(texts)
    assert texts.count("no common L0") == 2


@pytest.mark.parametrize("draw", [class_figure, overlap_figure])
def test_points_stand_for_columns_that_have_a_number(draw):
    columns, nulls = ("a", "b", "empty"), ("chance",) if draw is overlap_figure else ()
    chance = {name: number(0.0, 0.0) for name in nulls}
    rows = [
        Row("first", {"a": number(0.5), "b": Measurement(None, None, None, 0, reason="nothing")}, chance),
        Row("second", {"a": Measurement(0.2, None, None, 1, reason="one unit"), "b": number(-3.0)}, chance),
    ]
    texts = shown(draw(table(rows, columns, nulls), "after"))
    assert {"first", "second", "a", "b", *nulls} <= set(texts)
    assert "empty" not in texts


def test_an_interval_that_does_not_enclose_its_value_can_be_drawn():
    odd = Measurement(0.5, 0.52, 0.6, 50)
    assert "first" in shown(class_figure(table([Row("first", {EV: odd})]), "after"))


def test_the_same_table_gives_the_same_picture():
    rows = [Row("first", {EV: number(0.5)})]
    assert class_figure(table(rows), "after") == class_figure(table(rows), "after")
