import io

import pytest
from example_reports import dictionary_report, feature_report, silent_report
from rich.console import Console

from sae.inspection.terminal_view import render_dictionary, render_feature


def printed(renderable, width=100):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


@pytest.mark.parametrize("width", [80, 120])
def test_a_feature_fits_the_terminal(width):
    text = printed(render_feature(feature_report()), width)

    assert all(len(line) <= width for line in text.splitlines())
    assert "fever  F1 0.93, feature 17" in text
    assert "active on 1.2 %, 120 tokens; mean 3.25, largest 8; threshold 0.5" in text
    assert "+1.50" in text
    assert "\N{MINUS SIGN}1.00" in text


def test_contexts_are_strongest_first_and_one_from_each_decile():
    text = printed(render_feature(feature_report(), n_contexts=2))
    first, second = text.split("strongest contexts")[1].split("one from each tenth of its activations")

    assert [line.split()[0] for line in first.splitlines() if line.strip()] == ["8", "7"]
    assert len([line for line in second.splitlines() if line.strip()]) == 10


def test_a_silent_feature_has_no_contexts():
    text = printed(render_feature(silent_report()))

    assert text.startswith("feature 17\n")
    assert "active on 0 %, 0 tokens; threshold 0.5" in text
    assert "contexts" not in text


@pytest.mark.parametrize("width", [80, 120])
def test_a_dictionary_lists_the_most_active_features(width):
    text = printed(render_dictionary(dictionary_report(), limit=3), width)
    lines = text.splitlines()

    assert all(len(line) <= width for line in lines)
    assert lines[0] == "250 features at resid_post.1 of tiny"
    assert [line.split()[:2] for line in lines[-4:-1]] == [["0", "50"], ["1", "25"], ["2", "17"]]
    assert lines[-1] == "247 more features on the page"


def test_control_characters_and_markup_stay_text():
    text = printed(render_feature(feature_report("[red]\x1b[2J")))

    assert "\x1b" not in text
    assert "[red]\N{REPLACEMENT CHARACTER}[2J" in text
