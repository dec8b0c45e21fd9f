"""What a viewer shows of a feature: one file each, in the layout of circuit-tracer's `feature_models.py`."""

from collections.abc import Iterator
from typing import Any

from sae.host.sites import Site
from sae.inspection.reports import Context, FeatureReport

__all__ = ["feature_file"]


def feature_file(site: Site, feature: int, report: FeatureReport | None) -> dict[str, Any]:
    """The file of one feature.

    Args:
        site: Where its dictionary belongs.
        feature: Its index in the dictionary.
        report: What is known of it; without one the file is valid and says nothing.
    """
    return {
        "transcoder_id": str(site),
        "index": feature,
        "examples_quantiles": [] if report is None else list(_quantiles(report)),
        "top_logits": [] if report is None else [pair.token for pair in report.promoted],
        "bottom_logits": [] if report is None else [pair.token for pair in report.suppressed],
        "act_min": 0.0,
        "act_max": 1.0 if report is None else report.largest_activation,
        "quantile_values": [] if report is None else [decile.high for decile in reversed(report.deciles)],
        "histogram": [] if report is None else [float(count) for count in report.activations.counts],
        "activation_frequency": 0.0 if report is None else report.density,
    }


def _quantiles(report: FeatureReport) -> Iterator[dict[str, Any]]:
    yield {"quantile_name": "Strongest", "examples": [_example(context) for context in report.strongest]}
    for decile in report.deciles:
        if decile.contexts:
            name = f"{decile.low:.3g} to {decile.high:.3g}"
            yield {"quantile_name": name, "examples": [_example(context) for context in decile.contexts]}


def _example(context: Context) -> dict[str, Any]:
    return {
        "tokens_acts_list": list(context.activations),
        "train_token_ind": context.index,
        "is_repeated_datapoint": False,
        "tokens": list(context.tokens),
    }
