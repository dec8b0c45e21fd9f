"""A probe that was trained on a planted cue, and what removing the features of the cue makes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.clinic.labelled_text import LabelledText
from experiments.clinical_reasoning.analyses.shift.attribution import cue_disparities, largest
from experiments.clinical_reasoning.analyses.shift.cue_features import (
    SiteFeatures,
    matched_features,
    named_by_labels,
    named_by_phrase,
    phrase_text,
    text_statistics,
)
from experiments.clinical_reasoning.analyses.shift.planted_cue import CuedCase, cued_cases, diagnosis_pairs
from experiments.clinical_reasoning.analyses.shift.probes import DiagnosisProbe, worst_group
from experiments.clinical_reasoning.analyses.shift.representations import (
    PLACES,
    Reading,
    Removal,
    representations,
)
from experiments.clinical_reasoning.subject import Subject
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = ["measure"]

AGREEMENT = 0.95
"""Share of the training cases whose cue goes with the diagnosis."""
N_PAIRS, N_SELECTION_PAIRS, N_SEEDS = 4, 2, 3
MIN_GAP = 0.05
"""A probe falls for the cue where its worst group is this much worse than the oracle's, on pairs not reported."""
N_PHRASE_TEXTS = 600


def measure(subject: Subject, *, size: int, seed: int) -> dict[str, Any]:
    """What the analysis shows, see `AnalysisCode`.

    Args:
        subject: The model; of the clinic.
        size: Cases that a probe is trained on, and as many that it is judged on, for each pair of diagnoses and seed.
        seed: Of everything that is drawn.
    """
    workbench, host = subject.workbench, subject.workbench.host
    pairs = diagnosis_pairs(N_PAIRS + N_SELECTION_PAIRS, seed=seed)
    reading, gaps = _chosen_reading(host, pairs[N_PAIRS:], size, seed)
    sites = [site for site in workbench.dictionaries if site <= reading.site]
    text = phrase_text(host, N_PHRASE_TEXTS, seed=seed)
    cue = _CueFeatures.named(subject, sites, text)
    statistics = text_statistics(host, workbench.dictionaries, cue.by_phrase, text)
    columns: dict[str, list[Any]] = {"pair": [], "seed": [], "template": [], "diagnosis": [], "cue": []}
    rights: dict[str, list[int]] = {}
    for pair in pairs[:N_PAIRS]:
        for draw in range(N_SEEDS):
            test = cued_cases(pair, size, agreement=0.5, split="test", seed=f"{seed} {draw}")
            twins = matched_features(statistics, cue.by_phrase, seed=draw)
            right = _one_seed(subject, pair, test, reading, cue, twins, size=size, seed=f"{seed} {draw}")
            columns["pair"] += [" / ".join(pair)] * len(test)
            columns["seed"] += [draw] * len(test)
            for name in ("template", "diagnosis", "cue"):
                columns[name] += [getattr(case, name) for case in test]
            for name, values in right.items():
                rights.setdefault(name, []).extend(values)
    return {
        "agreement": AGREEMENT,
        "reading": str(reading),
        "gap_by_reading": gaps,
        "min_gap": MIN_GAP,
        "features": cue.to_json(),
        "units": columns,
        "right": rights,
    }


@dataclass(frozen=True)
class _CueFeatures:
    """Features of the cue, by how they were named."""

    by_phrase: SiteFeatures
    by_labels: SiteFeatures
    broad: SiteFeatures

    @classmethod
    def named(cls, subject: Subject, sites: Sequence[Site], text: LabelledText) -> "_CueFeatures":
        host, broad = subject.workbench.host, subject.broad
        return cls(
            named_by_phrase(host, subject.workbench.dictionaries, sites, text),
            named_by_labels(subject.workbench, sites),
            {} if broad is None else named_by_phrase(host, broad.dictionaries, sites, text),
        )

    def to_json(self) -> dict[str, Any]:
        """Of each way of naming the features with their names and F1."""
        return {
            way: {
                str(site): {str(feature): [label.text, label.f1] for feature, label in features.items()}
                for site, features in named.items()
            }
            for way, named in (("phrase", self.by_phrase), ("labels", self.by_labels), ("broad", self.broad))
        }


def _chosen_reading(
    host: HostModel, pairs: Sequence[tuple[str, str]], size: int, seed: int
) -> tuple[Reading, dict[str, float]]:
    """The first place, at the site in the middle of the layers, where probes fall for the cue; else the last place.

    Returns:
        It, and how far the probe's worst group is below the oracle's at either place, on pairs that are not reported.
    """
    middle = Site("resid_post", max(0, host.n_layers // 2 - 1))
    gaps = {}
    for place in PLACES:
        reading = Reading(place, middle)
        found = [_gap(host, pair, reading, size, f"{seed} selection") for pair in pairs]
        gaps[str(reading)] = sum(found) / len(found)
        if gaps[str(reading)] >= MIN_GAP:
            break
    return reading, gaps


def _gap(host: HostModel, pair: tuple[str, str], reading: Reading, size: int, seed: str) -> float:
    biased, balanced = _training(pair, size, seed)
    test = cued_cases(pair, size, agreement=0.5, split="validation", seed=f"{seed} judged")
    judged = representations(host, [case.prompt for case in test], reading)
    scores = []
    for cases in (biased, balanced):
        probe = _trained(representations(host, [case.prompt for case in cases], reading), cases)
        right = probe.is_right(judged, [case.diagnosis for case in test])
        scores.append(worst_group(right, [case.diagnosis for case in test], [case.cue for case in test]))
    return scores[1] - scores[0]


def _training(pair: tuple[str, str], size: int, seed: str) -> tuple[list[CuedCase], list[CuedCase]]:
    """Biased cases and as many balanced ones."""
    return (
        cued_cases(pair, size, agreement=AGREEMENT, split="validation", seed=seed),
        cued_cases(pair, size, agreement=0.5, split="validation", seed=seed),
    )


def _trained(x: Any, cases: Sequence[CuedCase]) -> DiagnosisProbe:
    return DiagnosisProbe.trained(x, [case.diagnosis for case in cases])


def _one_seed(
    subject: Subject,
    pair: tuple[str, str],
    test: Sequence[CuedCase],
    reading: Reading,
    cue: _CueFeatures,
    twins: Mapping[Site, Sequence[int]],
    *,
    size: int,
    seed: str,
) -> dict[str, list[int]]:
    """Whether each condition is right about each test case."""
    host, dictionaries = subject.workbench.host, subject.workbench.dictionaries
    diagnoses = [case.diagnosis for case in test]
    biased, balanced = _training(pair, size, seed)
    told, judged = (representations(host, [case.prompt for case in cases], reading) for cases in (biased, test))
    probe = _trained(told, biased)
    oracle = _trained(representations(host, [case.prompt for case in balanced], reading), balanced)
    right = {"probe": probe.is_right(judged, diagnoses), "oracle": oracle.is_right(judged, diagnoses)}

    def judge(name: str, train: Any, tested: Any) -> None:
        right[f"{name}, probe as trained"] = probe.is_right(tested, diagnoses)
        right[f"{name}, retrained"] = _trained(train, biased).is_right(tested, diagnoses)

    by_phrase = {site: list(features) for site, features in cue.by_phrase.items()}
    n_removed = sum(map(len, by_phrase.values()))
    skyline = largest(cue_disparities(host, dictionaries, reading, probe.direction, balanced), n_removed)
    removals = {
        "phrase": Removal(dictionaries, by_phrase),
        "labels": Removal(dictionaries, {site: list(features) for site, features in cue.by_labels.items()}),
        "random": Removal(dictionaries, twins),
        "skyline": Removal(dictionaries, skyline),
        "phrase and errors": Removal(dictionaries, by_phrase, errors=True),
        "errors": Removal(dictionaries, errors=True),
    }
    if subject.broad is not None:
        broad = {site: list(features) for site, features in cue.broad.items()}
        removals["broad"] = Removal(subject.broad.dictionaries, broad)
    for name, removal in removals.items():
        judge(name, *(representations(host, [c.prompt for c in cases], reading, removal) for cases in (biased, test)))
    judge("deletion", *(representations(host, [c.without_cue for c in cases], reading) for cases in (biased, test)))
    return {name: values.int().tolist() for name, values in right.items()}
