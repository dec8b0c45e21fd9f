"""The audit: mentions, planted effects and planted nulls, and the ablation beside a slow one."""

from itertools import islice

import pytest
import torch

from circuits.workbench import open_workbench
from experiments.clinical_reasoning.analyses.demographic_audit import measure, present
from experiments.clinical_reasoning.analyses.demographic_audit.measuring import _ablation
from experiments.clinical_reasoning.analyses.demographic_audit.mentions import (
    IRRELEVANT,
    mention_of,
    pairs_by_mention,
    words_of,
)
from experiments.clinical_reasoning.clinic_pairs import ClinicPairs
from experiments.clinical_reasoning.subject import Subject
from experiments.clinical_reasoning.vignette_pair import VignettePair
from experiments.report.contents import Report
from experiments.report.markdown import report_markdown
from experiments.report.page import report_page
from sae.bundle import find_bundle
from sae.host.splice import SplicedHost

needs_bundle = pytest.mark.skipif(find_bundle("clinic") is None, reason="the bundled model is not in this checkout")


@pytest.fixture(scope="module")
def bench():
    return open_workbench("clinic")


def pair(kind, changed_from, changed_to):
    return VignettePair(kind, "t", "a", "b", "gout", "gout", changed_from, changed_to)


@pytest.mark.parametrize(
    ("told", "mention", "words"),
    [
        (pair("demographic", "demo:woman", "demo:man"), "sex", ("sex: man to woman", -1)),
        (pair("demographic", "demo:old", "demo:young"), "age", ("age: old to young", 1)),
        (pair("distractor", "setting:ward", "setting:clinic"), "setting", ("setting: clinic to ward", -1)),
        (pair("distractor", "family:gout", "family:lupus"), IRRELEVANT, (IRRELEVANT, 1)),
        (pair("demographic", "insurance:none", "insurance:full"), "insurance", ("insurance: full to none", -1)),
        (pair("demographic", "here", "there"), "here", ("here: here to there", 1)),
    ],
)
def test_mentions(told, mention, words):
    assert mention_of(told) == mention
    assert words_of(told) == words


def planted(effect, carried):
    """Pairs whose age has an effect of which the labelled latents carry a share; irrelevant words have none."""
    pairs = []
    for i in range(60):
        is_age = i % 2 == 0
        total = effect + 0.01 * (i % 5 - 2) if is_age else 0.01 * (i % 5 - 2)
        answers = {"metrics": [5.0, 5.0 + total], "right": [True, True], "same": True}
        still = {"metrics": [5.0, 5.0 + total * (1 - carried)], "right": [True, True], "same": True}
        pairs.append(
            {
                "mention": "age" if is_age else IRRELEVANT,
                "words": "age: old to young" if is_age else IRRELEVANT,
                "sign": 1,
                "template": f"template {i % 12}",
                "metric": 5.0,
                "total_effect": total,
                "moved": {
                    "labelled": carried * total,
                    "labelled twins": 0.0,
                    "chosen": carried * total,
                    "chosen twins": 0.0,
                    "errors": 0.0,
                    "features": total,
                    "dense": total,
                },
                "after": {
                    "nothing": answers,
                    "ablate labelled": still,
                    "ablate labelled twins": answers,
                    "ablate chosen": still,
                    "ablate chosen twins": answers,
                    "delete tokens": still,
                    "ask": answers,
                },
            }
        )
    n_latents = {name: {"age": 4, IRRELEVANT: 0} for name in ("labelled", "chosen")}
    return {"n_latents": n_latents, "pairs": pairs}


def rendered(presented):
    report = Report("e", "p", "t", "c", presented.findings, (), {}, {}, (presented.section,))
    return report_markdown(report), report_page(report)


def test_a_planted_effect_and_its_mediator_are_found():
    presented = present(planted(1.0, 0.9))
    effects, mediation, removals = presented.section.tables
    row = effects.rows[0]
    assert row.cells["mean effect"].low > 0.9
    assert float(row.cells["p (Holm)"]) < 0.05
    assert mediation.rows[0].cells["labelled latents"].value == pytest.approx(0.9)
    assert mediation.rows[0].nulls["twins of labelled"].value == 0
    assert removals.rows[1].cells["mean |effect| left"].value == pytest.approx(0.1, abs=0.01)
    assert "above the" in presented.findings[0]
    markdown, page = rendered(presented)
    assert "age: old to young" in markdown
    assert "<figure" in page


def test_a_planted_null_is_not_told_from_irrelevant_words():
    presented = present(planted(0.0, 0.0))
    assert "not told apart from" in presented.findings[0]
    assert float(presented.section.tables[0].rows[0].cells["p (Holm)"]) > 0.05
    rendered(presented)


def test_a_mention_without_labelled_latents_says_so():
    record = planted(1.0, 0.5)
    for each in record["pairs"]:
        del each["moved"]["labelled"], each["moved"]["labelled twins"]
    assert any("no latent is labelled with the mention" in finding for finding in present(record).findings)


@needs_bundle
def test_pairs_of_every_mention_are_drawn(bench):
    found = pairs_by_mention(ClinicPairs(bench.host.tokenizer), 6, seed=0)
    assert set(found) >= {"age", "sex", IRRELEVANT}
    assert all(mention_of(each) == mention for mention, own in found.items() for each in own)
    assert all(len(own) <= 6 for own in found.values())


@needs_bundle
def test_ablation_is_that_of_a_spliced_host(bench):
    pairs = islice(ClinicPairs(bench.host.tokenizer).pairs("demographic", seed=0), 3)
    batch = bench.host.batch([bench.host.tokenise(each.prompt) for each in pairs])
    sites = list(bench.dictionaries)
    latents = [(sites[0], 78), (sites[0], 124), (sites[2], 139)]

    def without(*features):
        def edit(acts, error):
            acts[..., list(features)] = 0
            return acts, error

        return edit

    slow = SplicedHost(bench.host, bench.dictionaries).forward(
        batch, {sites[0]: without(78, 124), sites[2]: without(139)}, logits_to_keep=1
    )
    with torch.no_grad():
        fast = bench.host.forward(batch, _ablation(bench, latents, batch), logits_to_keep=1).logits
        plain = bench.host.forward(batch, logits_to_keep=1).logits
        nothing = bench.host.forward(batch, _ablation(bench, [], batch), logits_to_keep=1).logits
    assert torch.allclose(fast, slow, atol=1e-4)
    assert not torch.allclose(fast, plain, atol=1e-4)
    assert torch.equal(nothing, plain)


@needs_bundle
def test_the_bundle_is_audited(bench):
    record = measure(Subject("clinic", bench, ClinicPairs(bench.host.tokenizer)), size=6, seed=0)
    deleted = [each["after"]["delete tokens"]["metrics"] for each in record["pairs"] if each["mention"] == "age"]
    assert deleted
    assert all(first == pytest.approx(second, abs=1e-4) for first, second in deleted)
    rendered(present(record))


@needs_bundle
def test_without_demographic_pairs_there_is_nothing_to_audit(bench):
    class Nothing:
        def pairs(self, kind, *, seed):
            return iter(())

    with pytest.raises(ValueError, match="there is no demographic pair"):
        measure(Subject("clinic", bench, Nothing()), size=6, seed=0)
