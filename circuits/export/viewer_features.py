"""What a viewer shows of a feature: one file each, in the layout of circuit-tracer's `feature_models.py`."""

from collections.abc import Iterator, Sequence
from typing import Any

from sae.host.sites import Site
from sae.inspection.reports import Context, FeatureReport

__all__ = ["feature_file"]


def feature_file(
    site: Site, feature: int, report: FeatureReport | None, contexts: Sequence[Context] = ()
) -> dict[str, Any]:
    """The file of one feature.

    Args:
        site: Where its dictionary belongs.
        feature: Its index in the dictionary.
        report: What is known of it.
        contexts: Shown where there is no report, strongest first. Without them too the file is valid and says nothing.
    """
    known = _from_contexts(contexts) if report is None else _from_report(report)
    return {"transcoder_id": str(site), "index": feature, "act_min": 0.0, **known}


def _from_report(report: FeatureReport) -> dict[str, Any]:
    return {
        "examples_quantiles": list(_quantiles(report)),
        "top_logits": [pair.token for pair in report.promoted],
        "bottom_logits": [pair.token for pair in report.suppressed],
        "act_max": report.largest_activation,
        "quantile_values": [decile.high for decile in reversed(report.deciles)],
        "histogram": [float(count) for count in report.activations.counts],
        "activation_frequency": report.density,
    }


def _from_contexts(contexts: Sequence[Context]) -> dict[str, Any]:
    examples = [_example(context) for context in contexts]
    return {
        "examples_quantiles": [{"quantile_name": "Strongest here", "examples": examples}] if examples else [],
        "top_logits": [],
        "bottom_logits": [],
        "act_max": max((context.activation for context in contexts), default=1.0),
        "quantile_values": [],
        "histogram": [],
        "activation_frequency": 0.0,
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
