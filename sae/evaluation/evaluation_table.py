"""An evaluation as tables for the terminal: one a position class, a column for the dictionary and one for each null."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["number_with_interval", "render_evaluation"]

HEADLINES = ("explained_variance", "delta_ce", "l0")
OF_CLASSES = ("explained_variance", "cosine", "delta_ce", "kl", "recovered_from_mean", "accuracy_change", "l0")


def render_evaluation(report: Mapping[str, Any]) -> Group:
    """The report of `Evaluation.to_json`; intervals are 95 %, over documents, and left out for nulls to save width."""
    parts: list[RenderableType] = [_heading(report["documents"])]
    for name, columns in report["measurements"].items():
        parts += [Text(""), _table(name, columns, report)]
    parts += [Text(""), _features(report["features"]), *_answers(report["answers"])]
    for name, render in (("residual_error", _residual_error), ("description_length", _description_length)):
        if name in report:
            parts += [Text(""), render(report[name])]
    return Group(*parts)


def _residual_error(report: Mapping[str, Any]) -> Group:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("error of", style="bold")
    for heading in ("EV", "linear FVU", "nonlinear FVU", "linear share"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, parts in report["parts"].items():
        nonlinear, share = number_with_interval(parts["fvu_nonlinear"]), number_with_interval(parts["linear_share"])
        table.add_row(name, _number(parts["explained_variance"]), _number(parts["fvu_linear"]), nonlinear, share)
    costs = report["causal_split"]
    line = (
        f"delta CE {number_with_interval(costs['delta_ce'])} nats; with the nonlinear error alone "
        f"{number_with_interval(costs['delta_ce_nonlinear'])}, with the linear alone "
        f"{number_with_interval(costs['delta_ce_linear'])}"
    )
    return Group(table, Text(line))


def _description_length(report: Mapping[str, Any]) -> Group:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("bits a token", style="bold")
    for name in report:
        table.add_column(name, justify="right", no_wrap=True)
    first = next(iter(report.values()))
    for code in first["bits"]:
        table.add_row(f"{code} code", *(number_with_interval(found["bits"][code]) for found in report.values()))
    table.add_row("of which values", *(number_with_interval(found["value_bits"]) for found in report.values()))
    table.add_row("EV when rounded", *(_rounded(found["explained_variance_rounded"]) for found in report.values()))
    spread = f"the decoder spread over {first['n_tokens']:,} tokens"
    return Group(table, Text(f"and {_rounded(first['dictionary_bits'])} for {spread}"))


def _heading(documents: Mapping[str, Any]) -> Text:
    classes = ", ".join(f"{n:,} {name}" for name, n in documents["n_tokens_by_class"].items() if n)
    return Text(
        f"{documents['n_documents']:,} documents, {documents['n_tokens']:,} tokens ({classes}); "
        f"|x| median {documents['median_norm']:.3g}, largest {documents['largest_norm']:.3g}"
    )


def _table(name: str, columns: Mapping[str, Any], report: Mapping[str, Any]) -> Table:
    n_tokens = report["documents"]["n_tokens_by_class"].get(name, report["documents"]["n_tokens"])
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(f"{name}, {n_tokens:,} tokens", style="bold", no_wrap=True, min_width=18)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    first = next(iter(columns.values()))
    for metric in first if name == "all" else (metric for metric in OF_CLASSES if metric in first):
        of_dictionary, *of_nulls = (measurements[metric] for measurements in columns.values())
        cells = [number_with_interval(of_dictionary), *(_number(measurement) for measurement in of_nulls)]
        table.add_row(_label(metric), *cells, style="" if metric in HEADLINES else "dim")
    return table


def _label(metric: str) -> str:
    """Short enough for 80 columns."""
    return metric.replace("explained_variance", "EV").replace("_", " ")


def number_with_interval(measurement: Mapping[str, Any]) -> str:
    """`0.912 [0.905, 0.918]`; what is missing is a dash."""
    if measurement["low"] is None:
        return _number(measurement)
    return f"{_rounded(measurement['value'])} [{_rounded(measurement['low'])}, {_rounded(measurement['high'])}]"


def _number(measurement: Mapping[str, Any]) -> str:
    return "-" if measurement["value"] is None else _rounded(measurement["value"])


def _rounded(value: float) -> str:
    rounded = round(value, 3) + 0.0  # no minus sign before a zero
    return f"{rounded:.3f}" if abs(value) < 100 else f"{value:.0f}"


def _features(features: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("features", style="bold")
    for heading in ("width", "alive", "dead", ">1 %", ">10 %"):
        table.add_column(heading, justify="right")
    for column, use in features.items():
        counts = (use[name] for name in ("d_sae", "n_alive", "n_dead", "n_dense_1", "n_dense_10"))
        table.add_row(column, *(f"{count:,}" for count in counts))
    return table


def _answers(answers: Mapping[str, Any]) -> list[Text]:
    lines = []
    for column, change in answers.items():
        if change is not None:
            p = f"p = {change['p_value']:.2g}" if change["p_value"] > 0 else "p < 1e-300"
            lines.append(
                Text(
                    f"answers with {column}: {change['n_right']} of {change['n_answers']} right (plain "
                    f"{change['n_right_plain']}), {change['n_lost']} lost, {change['n_gained']} gained, {p}"
                )
            )
    return [Text(""), *lines] if lines else []
