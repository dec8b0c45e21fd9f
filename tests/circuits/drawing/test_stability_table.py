import io

import pytest
from rich.console import Console

from circuits.drawing.stability_table import MOST_OUTSIDE, stability_table

OVERLAP = {
    "with_circuit": {"mean": 0.5, "low": 0.25, "high": 0.75},
    "between_runs": {"mean": 0.6, "low": None, "high": None},
    "null": 0.05,
}
BOOTSTRAP = {"n_runs": 1000, "features_kept": 0.61, "reason": None, "jaccard": OVERLAP, "rank_biased_overlap": OVERLAP}
RECORD = {
    "reproduced": 1.0,
    "random_frequency": 0.0625,
    "variations": {"bootstrap": BOOTSTRAP, "template": {"reason": "the prompts have no templates"}},
    "nodes": [
        {"id": "resid_post.0/1@2", "in_circuit": True, "selection_frequency": 1.0},
        {"id": "resid_post.0/2@2", "in_circuit": True, "selection_frequency": 0.5},
        {"id": "resid_post.0/3@2", "in_circuit": False, "selection_frequency": 0.5},
        {"id": "resid_post.0/4@2", "in_circuit": False, "selection_frequency": 0.4},
    ],
}


def printed(record, width=80):
    console = Console(width=width, file=io.StringIO())
    console.print(stability_table(record))
    return console.file.getvalue()


def test_overlaps_stand_with_their_spread_and_null():
    lines = printed(RECORD).splitlines()
    [row] = [line for line in lines if line.startswith("bootstrap")]
    assert row.split() == ["bootstrap", "1000", "61%", "Jaccard", "0.50", "[0.25,", "0.75]", "0.60", "0.05"]
    assert max(map(len, lines)) <= 80


def test_frequencies_stand_with_their_null():
    assert "kept on average 75%, always 1 of 2 features; null (random nodes) 6.2%" in printed(RECORD)


def test_what_does_not_apply_says_why():
    assert "template does not apply: the prompts have no templates" in printed(RECORD)


def test_nodes_outside_that_are_kept_often_are_named():
    text = printed(RECORD)
    assert "resid_post.0/3@2" in text
    assert "resid_post.0/4@2" not in text
    many = [{**RECORD["nodes"][2], "id": f"resid_post.0/{i}@3"} for i in range(MOST_OUTSIDE + 5)]
    assert "5 more in stability.json" in printed({**RECORD, "nodes": RECORD["nodes"] + many[1:]})
    assert "Not in the circuit" not in printed({**RECORD, "nodes": RECORD["nodes"][:2]})


@pytest.mark.parametrize(("reproduced", "is_said"), [(1.0, False), (0.8, True)])
def test_a_circuit_that_is_not_reproduced_is_said(reproduced, is_said):
    text = printed({**RECORD, "reproduced": reproduced})
    assert ("ranked again with nothing varied: Jaccard 0.80" in text) == is_said
