import json

import pytest

from sae.inspection.curves import curves_figure, draw_curves, read_metrics


def record(step, name="resid_post.1", **changes):
    plain = {
        "sae": name, "step": step, "tokens": 100 * step, "loss": 1 / step, "fvu": 0.5 / step, "l0": 64 / step,
        "l0_target": 8, "dead_share": 0.01, "dense_share": 0.0, "learning_rate": 1e-3, "kernel": "sparse",
        "density": 0.01, "thresholds": None, "clock": {"seconds": 1.0, "tokens_per_second": 5000.0},
    }  # fmt: skip
    return plain | changes


THRESHOLDS = {"coefficient": 0.1, "window_share": 0.002, "median": 0.4, "moved": 0.1}


def write(path, records, end="\n"):
    path.write_text("\n".join(map(json.dumps, records)) + end, encoding="utf-8")
    return path


def titles(metrics):
    return [axes.get_title(loc="left") for axes in curves_figure(metrics, title="run").axes if axes.get_visible()]


def test_records_are_read_by_dictionary(tmp_path):
    path = write(tmp_path / "metrics.jsonl", [record(1, "a"), record(1, "b"), record(2, "a")])

    metrics = read_metrics(path)

    assert {name: [each["step"] for each in records] for name, records in metrics.items()} == {"a": [1, 2], "b": [1]}


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    path = write(tmp_path / "metrics.jsonl", [record(1), record(2)], end="")

    assert [each["step"] for each in read_metrics(path)["resid_post.1"]] == [1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no record yet"),
        ("{}\n", "line 1 of .* is no record of a step"),
        ("[1]\n", "line 1 of .* is no record of a step"),
        ("{\n", "line 1 of .* is no record of a step"),
    ],
)
def test_a_file_that_is_no_metrics_is_refused(tmp_path, text, message):
    path = tmp_path / "metrics.jsonl"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ValueError, match=message):
        read_metrics(path)


def test_a_directory_without_metrics_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"there are no training metrics at .*give the output directory of sae train"):
        draw_curves(tmp_path, tmp_path / "curves.png")


def test_a_picture_is_written_whole(tmp_path):
    write(tmp_path / "metrics.jsonl", [record(step) for step in range(1, 9)])

    draw_curves(tmp_path, tmp_path / "curves.png")

    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "metrics.jsonl"]


def test_what_was_not_recorded_has_no_panel():
    without = titles({"a": [record(1), record(2)]})
    with_thresholds = titles({"a": [record(1, thresholds=THRESHOLDS)]})

    assert without[:2] == ["explained variance", "L0, target dashed"]
    assert not any("threshold" in title or "coefficient" in title for title in without)
    assert {"median threshold, activation scales", "sparsity coefficient (controller)"} <= set(with_thresholds)


def test_curves_have_the_numbers():
    figure = curves_figure({"a": [record(1), record(2), record(4)], "b": [record(1, l0_target=16)]}, title="run")
    explained, l0 = figure.axes[:2]

    assert explained.lines[0].get_xydata().tolist() == [[100, 0.5], [200, 0.75], [400, 0.875]]
    assert [line.get_ydata()[0] for line in l0.lines] == [64, 8, 64, 16]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


@pytest.mark.parametrize("value", [None, float("nan"), "high", True])
def test_a_value_that_is_no_number_leaves_a_gap(value):
    figure = curves_figure({"a": [record(1), record(2, fvu=value), record(3)]}, title="run")

    assert figure.axes[0].lines[0].get_xdata().tolist() == [100, 300]


def test_zeros_on_a_logarithmic_panel_do_not_fail(tmp_path):
    write(tmp_path / "metrics.jsonl", [record(1, l0=0.0), record(2, l0=50.0)])

    draw_curves(tmp_path, tmp_path / "curves.png")

    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
