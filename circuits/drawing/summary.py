"""A circuit in a few lines of words, the same in the terminal, in the picture and on the page."""

from circuits.graph.circuit import Circuit
from sae.token_text import readable_token

__all__ = ["faithfulness_line", "metric_line", "quoted", "signed", "size_line"]

MINUS = "\N{MINUS SIGN}"


def quoted(token: str) -> str:
    """A token in quotation marks, as `readable_token` shows it.

    >>> quoted(" pneumonia")
    '“pneumonia”'
    """
    return f"“{readable_token(token, length=40)}”"


def signed(value: float) -> str:
    """A number with its sign and three significant digits.

    >>> signed(-0.01234)
    '−0.0123'
    """
    size = abs(value)
    if size == 0:
        return "0"
    form = ".2e" if size >= 1e6 or size < 1e-4 else ".0f" if size >= 100 else "#.3g"
    return f"{MINUS if value < 0 else '+'}{size:{form}}"


def metric_line(circuit: Circuit) -> str:
    """The metric on the prompt and at the baseline, and how effects were found."""
    metric = circuit.metric
    return (
        f"metric {signed(metric.clean)} {metric.unit} on the prompt, {signed(metric.baseline)} at the "
        f"{circuit.baseline} baseline; effects by {circuit.method.replace('_', ' ')}"
    )


def size_line(circuit: Circuit) -> str:
    """How many nodes and edges."""
    counts = [(len(circuit.features), "feature"), (len(circuit.errors), "error"), (len(circuit.edges), "edge")]
    return ", ".join(_counted(count, noun) for count, noun in counts)


def faithfulness_line(circuit: Circuit) -> str:
    """Faithfulness with its interval, its null, and what all features keep without the errors."""
    measured = circuit.faithfulness
    if measured is None:
        return "faithfulness not measured"
    if measured.value is None:
        return f"faithfulness withheld with {_counted(measured.n_nodes, 'feature')}: {measured.reason}"
    interval = "no interval" if measured.low is None else f"[{measured.low:.2f}, {measured.high:.2f}]"
    null = "not measured" if measured.null is None else f"{measured.null:.2f}"
    share = measured.share_kept_without_errors
    without_errors = "not measured" if share is None else f"{share:.2f}"
    return (
        f"faithfulness {measured.value:.2f} {interval} with {_counted(measured.n_nodes, 'feature')}; "
        f"null (random nodes) {null}; all features without errors {without_errors}"
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
