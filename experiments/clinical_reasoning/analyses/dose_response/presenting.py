"""Dose-response for people: whether m and a latent rise with the dose, and where."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.clinical_reasoning.analyses.dose_response.curves import (
    crosses_at_threshold,
    rank_correlation,
    risen,
    shuffled,
    step_ceiling,
)
from experiments.clinical_reasoning.analyses.dose_response.monotone import isotonic_fit
from experiments.clinical_reasoning.analyses.dose_response.picture import dose_figure
from experiments.clinical_reasoning.analysis import Presented
from experiments.clinical_reasoning.statistics import by_template, holm, ratio, sign_flip
from experiments.clinical_reasoning.wording import said
from experiments.report.contents import Row, Section, Table
from sae.measurement import Measurement

__all__ = ["present"]

Series = Mapping[str, Any]

BAR = 0.8
MIN_SHARE = 0.1
"""A latent that carries less of the effect, at the lower end of its interval, is no mediating one."""

ALL = "all quantities"
M, STEP, FITTED, THRESHOLD, P = (
    "Spearman of m",
    "Spearman of the true step",
    "isotonic fit explains",
    "threshold recovered",
    "p (Holm)",
)
SHUFFLED, TWIN, OTHERS = "doses shuffled", "matched latent", "latents that differ"
ONE, SEVERAL, ERRORS, DENSE = "one latent", "top latents", "SAE errors", "whole activations"
TEXT = (
    "A vignette is told with every value of one quantity, all else equal. m is the logit of the diagnosis that needs "
    "the finding less that of the one that fits without it; doses run from the side without the finding to the side "
    "with it. The world knows a threshold only, so the right curve is a step; Spearman of a step is below 1, as most "
    "of its values are equal, and stands beside the measured one. Latents are chosen by attribution at the value's "
    "tokens, on other cases; they are moved, in the vignette without the finding, to what they are at each dose."
)


def present(record: Mapping[str, Any]) -> Presented:
    """Tables by measured quantity, curves, and findings in computed words."""
    series: list[Series] = record["series"]
    quantities = list(dict.fromkeys(each["finding"] for each in series))
    groups = {name: [each for each in series if each["finding"] == name] for name in quantities} | {ALL: series}
    model = _model_table(groups, record["counts"])
    shares = _share_table(groups, record["latents"])
    mediating = [name for name, row in zip(quantities, shares.rows, strict=False) if _is_mediating(row)]
    latents = _latent_table({name: groups[name] for name in mediating}, record["latents"])
    tables = (model, shares, *latents)
    section = Section("Dose and response", TEXT, tables, (dose_figure(series, quantities),))
    return Presented(section, tuple(_findings(model, shares, latents, mediating, quantities)))


def _by_series(series: Sequence[Series], value: Callable[[int, Series], float]) -> Measurement:
    values = [float(value(index, each)) for index, each in enumerate(series)]
    return by_template(values, [each["template"] for each in series], higher_is_better=True)


def _model_table(groups: Mapping[str, Sequence[Series]], counts: Mapping[str, Mapping[str, int]]) -> Table:
    p_values = holm(
        [
            sign_flip([rank_correlation(s["metric"]) for s in series], [s["template"] for s in series])
            for series in groups.values()
        ]
    )
    rows = []
    for (name, series), p in zip(groups.items(), p_values, strict=True):
        cells: dict[str, Measurement | str] = {
            M: _by_series(series, lambda _, s: rank_correlation(s["metric"])),
            STEP: _by_series(series, lambda _, s: step_ceiling(s)),
            FITTED: _by_series(series, lambda _, s: isotonic_fit(s["metric"]).explained),
            THRESHOLD: _by_series(series, lambda _, s: crosses_at_threshold(s, s["metric"])),
            "series": str(len(series)),
            P: f"{p:.2g}",
        }
        null = _by_series(series, lambda i, s: rank_correlation(shuffled(s["metric"], i)))
        rows.append(Row(_words(name), cells, {SHUFFLED: null}))
    left_out = "; ".join(f"{_words(name)}: {c['wrong']} of {c['drawn']}" for name, c in counts.items())
    return Table(
        "dose_response",
        "m against the dose",
        (M, STEP, FITTED, THRESHOLD, "series", P),
        tuple(rows),
        (SHUFFLED,),
        "Threshold recovered: share of series whose isotonic fit first reaches half of its rise at the very first dose "
        "that expresses the finding. p: that Spearman is 0, by sign flips of templates, Holm over rows. Pairs that the "
        f"model did not answer right on both sides were left out, of those drawn for either purpose ({left_out}).",
    )


def _share_table(groups: Mapping[str, Sequence[Series]], latents: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    rows = []
    for name, series in groups.items():
        cells: dict[str, Measurement | str] = {
            ONE: _share(series, "latent"),
            SEVERAL: _share(series, "latents"),
            ERRORS: _share(series, "errors"),
            DENSE: _share(series, "dense"),
        }
        if name in latents:
            cells["the latent"] = _latent_words(latents[name][0])
        nulls = {"same push, matched latent": _share(series, "twin"), "same pushes, top": _share(series, "twins")}
        rows.append(Row(_words(name), cells, nulls))
    n = max((len(each) for each in latents.values()), default=0)
    return Table(
        "dose_mediation",
        "Share of the rise that nodes at the value's tokens carry",
        (ONE, SEVERAL, ERRORS, DENSE, "the latent"),
        tuple(rows),
        ("same push, matched latent", "same pushes, top"),
        "Effect on m of the base vignette when only these nodes are as at the dose, over the whole rise; mean over the "
        f"doses that express the finding. Top latents are the first {n}. The nulls push as far along latents of equal "
        "density and magnitude: the first for one latent, the second for the top ones. A quantity has a mediating "
        f"latent where the interval of its share lies above {MIN_SHARE:g} and above the null's value.",
    )


def _share(series: Sequence[Series], name: str) -> Measurement:
    values = [(risen(s, s["moved"][name]), risen(s, [m - s["base_metric"] for m in s["metric"]])) for s in series]
    return by_template(values, [s["template"] for s in series], ratio, higher_is_better=True)


def _mean_size(curves: Sequence[Sequence[float]]) -> float:
    """Mean absolute Spearman of some latents; 0 where there is none."""
    return sum(abs(rank_correlation(values)) for values in curves) / max(len(curves), 1)


def _is_mediating(row: Row) -> bool:
    share, null = row.cells[ONE], row.nulls["same push, matched latent"]
    assert isinstance(share, Measurement)
    return share.low is not None and null.value is not None and share.low > max(MIN_SHARE, null.value)


def _latent_table(
    groups: Mapping[str, Sequence[Series]], latents: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[Table]:
    """Of the quantities that have a mediating latent; none where no one has."""
    if not groups:
        return []
    rows = []
    for name, series in {**groups, ALL: [each for own in groups.values() for each in own]}.items():
        cells: dict[str, Measurement | str] = {
            "Spearman of the latent": _by_series(series, lambda _, s: rank_correlation(s["activation"])),
            STEP: _by_series(series, lambda _, s: step_ceiling(s)),
            THRESHOLD: _by_series(series, lambda _, s: crosses_at_threshold(s, s["activation"])),
        }
        if name in latents:
            cells["the latent"] = _latent_words(latents[name][0])
        nulls = {
            OTHERS: _by_series(series, lambda _, s: _mean_size(s["other_activations"])),
            TWIN: _by_series(series, lambda _, s: _mean_size([s["twin_activation"]])),
            SHUFFLED: _by_series(series, lambda i, s: rank_correlation(shuffled(s["activation"], i))),
        }
        rows.append(Row(_words(name), cells, nulls))
    return [
        Table(
            "dose_latents",
            "The mediating latent against the dose",
            ("Spearman of the latent", STEP, THRESHOLD, "the latent"),
            tuple(rows),
            (OTHERS, TWIN, SHUFFLED),
            "Activation summed over the value's tokens, with the sign that it had on other cases: a latent may stand "
            "for the finding or for its absence. Nulls of other latents are mean sizes of Spearman, whatever its sign: "
            "of random ones that differ at these tokens between the sides, and of one of equal density and magnitude.",
        )
    ]


def _findings(
    model: Table, shares: Table, latents: Sequence[Table], mediating: Sequence[str], quantities: Sequence[str]
) -> list[str]:
    whole = model.rows[-1]
    m, step, found = (whole.cells[name] for name in (M, STEP, THRESHOLD))
    assert isinstance(m, Measurement)
    assert isinstance(step, Measurement)
    assert isinstance(found, Measurement)
    sentences = [
        f"m rises with the dose: Spearman {said(m)}, where a true step has {said(step)} and shuffled doses "
        f"{said(whole.nulls[SHUFFLED])}. {_bar(m)}"
        if (m.value or 0) > 0
        else f"m does not rise with the dose: Spearman {said(m)}. {_bar(m)}",
        f"The threshold of the world is recovered exactly in {said(found)} of the series.",
    ]
    without = [_words(name) for name in quantities if name not in mediating]
    if without:
        sentences.append(f"By the stated rule the model has no mediating latent for {', '.join(without)}.")
    if latents:
        row = latents[0].rows[-1]
        rho = row.cells["Spearman of the latent"]
        assert isinstance(rho, Measurement)
        sentences.append(
            f"{len(mediating)} of {len(quantities)} quantities have a mediating latent; its activation follows the "
            f"dose with Spearman {said(rho)}, that of random latents which differ at the same tokens with "
            f"{said(row.nulls[OTHERS])} in size. "
            f"{_bar(rho)}"
        )
    share = shares.rows[-1]
    one, several, errors, dense = (share.cells[name] for name in (ONE, SEVERAL, ERRORS, DENSE))
    assert isinstance(one, Measurement)
    assert isinstance(several, Measurement)
    assert isinstance(errors, Measurement)
    assert isinstance(dense, Measurement)
    sentences.append(
        f"Moved to its value at the dose, the first latent carries {said(one)} of the rise and the top ones "
        f"{said(several)}; the same pushes along matched latents {said(share.nulls['same push, matched latent'])} and "
        f"{said(share.nulls['same pushes, top'])}, SAE errors {said(errors)}, whole activations {said(dense)}."
    )
    return sentences


def _bar(measured: Measurement) -> str:
    met = measured.value is not None and measured.value >= BAR
    return f"The bar of {BAR:g} is {'met' if met else 'missed'}."


def _words(name: str) -> str:
    return name.replace("_", " ")


def _latent_words(latent: Mapping[str, Any]) -> str:
    return f"{latent['site']}/{latent['feature']} ({latent['label'] or 'no label'})"
