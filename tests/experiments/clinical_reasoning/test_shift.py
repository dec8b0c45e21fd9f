"""SHIFT: a planted shortcut is recovered and removed, a planted null has no gap, and reports say what came out."""

import random

import pytest
import torch
from clinical_reports import markdown_and_page
from tiny_models import random_sae, tiny_llama

from experiments.clinic.document import Document, Span
from experiments.clinical_reasoning.analyses.shift import present
from experiments.clinical_reasoning.analyses.shift.attribution import cue_disparities, largest
from experiments.clinical_reasoning.analyses.shift.cue_features import _marked
from experiments.clinical_reasoning.analyses.shift.group_scores import GroupScores
from experiments.clinical_reasoning.analyses.shift.planted_cue import CuedCase, cued_cases, diagnosis_pairs
from experiments.clinical_reasoning.analyses.shift.probes import DiagnosisProbe, worst_group
from experiments.clinical_reasoning.analyses.shift.representations import Reading, Removal, representations
from sae.host.sites import Site
from sae.host.splice import SplicedHost

PAIR = ("asthma", "embolism")
SITES = [Site("resid_post", 0), Site("resid_post", 1)]
CONDITIONS = [
    f"{name}, {mode}"
    for name in ("phrase", "labels", "broad", "skyline", "random", "phrase and errors", "errors", "deletion")
    for mode in ("probe as trained", "retrained")
]


def test_cases_agree_as_often_as_asked_and_are_the_same_again():
    cases = cued_cases(PAIR, 40, agreement=0.9, split="validation", seed=1)
    assert cases == cued_cases(PAIR, 40, agreement=0.9, split="validation", seed=1)
    for diagnosis in (0, 1):
        own = [case for case in cases if case.diagnosis == diagnosis]
        assert (len(own), sum(case.cue == diagnosis for case in own)) == (20, 18)
    for case in cases:
        word = ("ward", "emergency department")[case.cue]
        assert word in case.prompt
        assert word not in case.without_cue


def test_pairs_of_diagnoses_share_none():
    pairs = diagnosis_pairs(6, seed=0)
    assert len({name for pair in pairs for name in pair}) == 12
    with pytest.raises(ValueError, match="40 disjoint pairs of diagnoses were asked for, there are"):
        diagnosis_pairs(40, seed=0)


def test_the_phrase_of_a_setting_begins_at_its_preposition():
    text = "Seen on the ward: an old man with fever."
    [span] = _marked(Document(text, "vignette", (Span(12, 16, "setting:ward"), Span(21, 24, "demo:old")))).spans
    assert text[span.start : span.end] == "on the ward"


def _planted(cue_strength: float, seed: int, agreement: float, n: int = 400):  # type: ignore[no-untyped-def]
    """Activations that tell the diagnosis weakly and the cue as strongly as asked."""
    generator = torch.Generator().manual_seed(seed)
    diagnosis = torch.randint(2, (n,), generator=generator)
    agrees = torch.rand(n, generator=generator) < agreement
    cue = torch.where(agrees, diagnosis, 1 - diagnosis)
    x = torch.randn(n, 8, generator=generator)
    x[:, 0] += 1.5 * (2 * diagnosis - 1)
    x[:, 1] += cue_strength * (2 * cue - 1)
    return x, diagnosis.tolist(), cue.tolist()


def _worst(train, test) -> float:  # type: ignore[no-untyped-def]
    probe = DiagnosisProbe.trained(train[0], train[1])
    return worst_group(probe.is_right(test[0], test[1]), test[1], test[2])


def test_a_probe_falls_for_a_planted_cue_and_recovers_without_it():
    biased, balanced, test = (_planted(3.0, seed, share) for seed, share in ((0, 0.95), (1, 0.5), (2, 0.5)))
    fallen, oracle = _worst(biased, test), _worst(balanced, test)
    assert oracle - fallen > 0.15

    def without(planted):  # type: ignore[no-untyped-def]
        return torch.cat([planted[0][:, :1], planted[0][:, 2:]], dim=1), *planted[1:]

    assert _worst(without(biased), without(test)) > fallen + 0.75 * (oracle - fallen)


def test_without_a_shortcut_there_is_no_gap():
    biased, balanced, test = (_planted(0.0, seed, share, 2000) for seed, share in ((0, 0.95), (1, 0.5), (2, 0.5)))
    assert abs(_worst(balanced, test) - _worst(biased, test)) < 0.03


def test_the_probes_direction_gives_its_log_odds_but_for_a_constant():
    x, diagnoses, _ = _planted(1.0, 0, 0.95)
    probe = DiagnosisProbe.trained(x, diagnoses)
    scores = torch.from_numpy(probe.probe.scores(probe.units(x.double().numpy())))
    rest = scores - (x @ probe.direction).double()
    assert rest.std() < 1e-4


PROMPTS = ["w1 w2 w3", "w4 w5", "w6 w7 w8 w9 w10"]


@pytest.mark.parametrize("place", ["answer", "mean"])
def test_removal_is_what_splicing_features_to_zero_does(place):
    host = tiny_llama()
    saes = {site: random_sae(site=site, seed=site.layer or 0) for site in SITES}
    removal = Removal(saes, {SITES[0]: [1, 5, 9], SITES[1]: [2, 3]})
    found = representations(host, PROMPTS, Reading(place, SITES[1]), removal)
    spliced = SplicedHost(host, saes)

    def silence(features):  # type: ignore[no-untyped-def]
        def edit(acts, error):  # type: ignore[no-untyped-def]
            acts[..., features] = 0
            return acts, error

        return edit

    for prompt, row in zip(PROMPTS, found, strict=True):
        batch = host.batch([host.tokenise(prompt)])
        edits = spliced._host_edits(batch, {site: silence(ids) for site, ids in removal.features.items()})
        x = host.forward(batch, edits, capture=[SITES[1]]).activations[SITES[1]][0]
        expected = x[-1] if place == "answer" else x[1:].mean(0)
        assert torch.allclose(row, expected, atol=1e-4)


def test_removing_nothing_changes_nothing():
    host = tiny_llama()
    saes = {site: random_sae(site=site) for site in SITES}
    reading = Reading("mean", SITES[1])
    plain = representations(host, PROMPTS, reading)
    assert torch.equal(representations(host, PROMPTS, reading, Removal(saes, {SITES[0]: []})), plain)
    assert not torch.equal(representations(host, PROMPTS, reading, Removal(saes, errors=True)), plain)


def test_attribution_is_the_effect_of_a_feature_at_the_site_that_is_read():
    """There the probe is linear in what features write, so that effects are exact differences."""
    host = tiny_llama()
    sae = random_sae(site=SITES[1])
    reading, direction = Reading("mean", SITES[1]), torch.randn(32, generator=torch.Generator().manual_seed(3))
    cases = [CuedCase(prompt, "", 0, index % 2, "t") for index, prompt in enumerate(PROMPTS)]
    found = cue_disparities(host, {SITES[1]: sae}, reading, direction, cases)[SITES[1]]
    plain = representations(host, PROMPTS, reading) @ direction
    feature = int(found.argmax())
    without = representations(host, PROMPTS, reading, Removal({SITES[1]: sae}, {SITES[1]: [feature]})) @ direction
    effects = plain - without
    assert found[feature].item() == pytest.approx(abs((effects[1] - effects[[0, 2]].mean()).item()), rel=1e-3)
    assert largest({SITES[1]: found}, 1) == {SITES[1]: [feature]}


def _record(closes: bool, *, falls: bool = True) -> dict:  # type: ignore[type-arg]
    """Two pairs, three seeds; the probe is wrong half of the time where cue and diagnosis disagree."""
    rng = random.Random(0)
    units: dict[str, list] = {"pair": [], "seed": [], "template": [], "diagnosis": [], "cue": []}  # type: ignore[type-arg]
    right: dict[str, list[int]] = {name: [] for name in ("probe", "oracle", *CONDITIONS)}
    for pair in ("a / b", "c / d"):
        for index in range(240):
            diagnosis, cue = index % 2, index // 2 % 2
            for name, value in zip(units, (pair, index % 3, f"t{index % 40}", diagnosis, cue), strict=True):
                units[name].append(value)
            falls_here = diagnosis != cue and falls and rng.random() < 0.5
            for name in right:
                repaired = name == "oracle" or (closes and name.startswith(("phrase", "deletion")))
                right[name].append(int(repaired or not falls_here))
    features = {"phrase": {"resid_post.0": {"3": ["setting:ward", 0.9]}}, "labels": {}, "broad": {}}
    gaps = {"resid_post.1, last token": 0.01, "resid_post.1, mean over tokens": 0.2}
    return {
        "agreement": 0.95,
        "reading": "resid_post.1, mean over tokens",
        "gap_by_reading": gaps,
        "min_gap": 0.05,
        "features": features,
        "units": units,
        "right": right,
    }


def test_the_report_says_what_came_out():
    presented = present(_record(closes=True))
    findings = " ".join(presented.findings)
    assert "of the gap closed, which reaches the bar of a half" in findings
    assert "features do no more here than a search for words would" in findings
    markdown, page = markdown_and_page(presented)
    assert "| SHIFT, retrained | 1 (1 to 1)" in markdown
    assert "Accuracy of the worst group under each removal" in page


def test_the_report_says_that_the_bar_was_missed_or_that_there_was_no_gap():
    assert "misses the bar" in " ".join(present(_record(closes=False)).findings)
    assert "did not clearly fall for the cue" in present(_record(closes=False, falls=False)).findings[-1]


def test_group_scores_follow_their_definition():
    record = _record(closes=False)
    scores = GroupScores.of(record)
    units = record["units"]
    by_pair = []
    for pair in ("a / b", "c / d"):
        groups: dict[tuple[int, int], list[int]] = {}
        for name, *group, value in zip(
            units["pair"], units["diagnosis"], units["cue"], record["right"]["probe"], strict=True
        ):
            if name == pair:
                groups.setdefault((group[0], group[1]), []).append(value)
        by_pair.append(min(sum(values) / len(values) for values in groups.values()))
        assert scores.worst("probe", pair).value == pytest.approx(by_pair[-1])
    assert scores.worst("probe").value == pytest.approx(sum(by_pair) / 2)
    assert scores.closed("probe").value == 0
    assert scores.closed("oracle").value == 1
    assert all(scores.rights("a / b", "oracle"))
    assert not all(scores.rights("a / b", "probe"))
