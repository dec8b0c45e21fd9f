"""Correction: edits are what policies say, nulls are as long, and corrections never stand without disruptions."""

import random

import pytest
import torch
from clinical_reports import markdown_and_page
from tiny_models import random_sae, tiny_llama

from circuits.workbench import open_workbench
from experiments.clinic.knowledge import FINDINGS
from experiments.clinical_reasoning.analyses.correction import present
from experiments.clinical_reasoning.analyses.correction.answered_cases import AnsweredCases
from experiments.clinical_reasoning.analyses.correction.concept_features import (
    ConceptFeatures,
    best_features,
    mention_tokens,
)
from experiments.clinical_reasoning.analyses.correction.policies import (
    glossary_hint,
    oracle_spec,
    organ_hint,
    other_concept,
    random_twin,
    restoring_spec,
)
from experiments.clinical_reasoning.analyses.correction.reporting import POLICIES
from experiments.clinical_reasoning.analyses.correction.steered_answers import edited, plain
from experiments.clinical_reasoning.analyses.correction.steering_policies import Oracle, Restoring
from experiments.clinical_reasoning.analyses.correction.told_cases import Mention, told_cases
from sae.dictionary.labels import FeatureLabel
from sae.host.host import HostModel
from sae.host.sites import Site
from steering.dictionaries import Dictionaries
from steering.interventions import SteeringSpec
from steering.positions import read_prompt
from steering.steered_host import SteeredHost

SITE = Site("resid_post", 1)
CONCEPTS = ConceptFeatures(SITE, {"pos:fever": 3, "pos:rash": 5, "neg:rash": 7}, {"pos:fever": 2.0, "pos:rash": 4.0})


def test_mentions_are_where_the_text_tells_findings():
    for told in told_cases("unseen synonyms", 20, split="test", seed=0):
        for mention in told.mentions:
            assert told.prompt[mention.start : mention.end] == mention.text
            known = FINDINGS[mention.concept.partition(":")[2]]
            assert mention.text in (known.unseen or known.seen)
        for mention in told.in_seen_words.mentions:
            assert mention.text in FINDINGS[mention.concept.partition(":")[2]].seen


def test_cases_are_the_same_again_and_others_in_another_split():
    first = told_cases("seen", 5, split="test", seed=1)
    assert first == told_cases("seen", 5, split="test", seed=1)
    assert first != told_cases("seen", 5, split="validation", seed=1)


def test_a_concept_is_stood_for_by_its_best_feature():
    labels = {1: FeatureLabel("pos:fever", 0.6), 2: FeatureLabel("pos:fever", 0.9), 3: FeatureLabel("dx:gout", 1.0)}
    assert best_features(labels, ("pos:", "neg:")) == {"pos:fever": 2}
    assert best_features({}, ("pos:",)) == {}


def test_restoring_raises_the_missed_features_on_their_mentions():
    missed = [Mention("pos:fever", "hyperthermia", 3, 15)]
    [edit] = restoring_spec(CONCEPTS, missed, 1.5, {}).interventions
    assert (edit.target.name, edit.operation, edit.value, edit.positions) == (
        "resid_post.1/3",
        "min",
        3.0,
        "span:pos:fever",
    )
    assert restoring_spec(CONCEPTS, [], 1.5, {}).is_plain


def test_nulls_are_of_equal_length_and_of_other_concepts():
    sae = random_sae(site=SITE)
    sae.decoder_rows[9] *= 3
    twin, factor = random_twin(sae, 9, [9], random.Random(0))
    assert twin != 9
    assert (sae.decoder_rows[twin].norm() * factor).item() == pytest.approx(sae.decoder_rows[9].norm().item(), rel=1e-5)
    assert other_concept(CONCEPTS, "pos:fever", ["pos:fever"], random.Random(0)) == "pos:rash"
    with pytest.raises(ValueError, match="no concept but pos:fever of the family 'pos' has a feature"):
        other_concept(CONCEPTS, "pos:fever", ["pos:rash"], random.Random(0))


def test_hints_say_what_they_should():
    told = next(each for each in told_cases("unseen synonyms", 50, split="test", seed=0) if each.mentions)
    mention = next(each for each in told.mentions if FINDINGS[each.concept[4:]].unseen)
    seen = FINDINGS[mention.concept[4:]].seen[0]
    assert glossary_hint(told, [mention]) == f"Another word for {mention.text} is {seen}. {told.prompt}"
    assert glossary_hint(told, []) == told.prompt
    assert organ_hint(told).startswith(told.vignette)
    assert organ_hint(told).endswith(told.question)


def test_no_edit_moves_nothing_and_a_large_one_does():
    host = tiny_llama()
    saes = {SITE: random_sae(site=SITE)}
    steered = SteeredHost(host, Dictionaries(host, saes=saes))
    texts = ["w1 w2 w3", "w4 w5"]
    before = plain(host, texts)
    prompts = [read_prompt(host, text) for text in texts]
    same = edited(steered, prompts, [SteeringSpec()] * 2)
    assert torch.allclose(same.log_probs, before.log_probs, atol=1e-5)
    assert same.kl(before).max() < 1e-5
    moved = edited(steered, prompts, [oracle_spec(SITE, 4, 50.0), SteeringSpec()]).kl(before)
    assert moved[0] > 0.1
    assert moved[1] < 1e-5


@pytest.fixture(scope="module")
def workbench():
    return open_workbench(HostModel.load("clinic"))


def test_on_the_bundled_model_restoring_corrects_more_than_it_disrupts_and_its_nulls_do_not(workbench):
    seen = told_cases("seen", 150, split="validation", seed=5)
    cases = AnsweredCases.asked(workbench.host, told_cases("unseen synonyms", 80, split="validation", seed=5))
    policy = Restoring.at(workbench, Site("resid_post", 0), seen)

    def surplus(null):  # type: ignore[no-untyped-def]
        specs = policy.specs(cases.told, 2.0, null=null, rng=random.Random(0))
        corrected, disrupted = cases.counts(policy.run(cases, specs))
        return corrected - disrupted

    n_wrong = int((~cases.right).sum())
    assert n_wrong >= 8
    assert surplus(None) > n_wrong / 3
    assert surplus("concept") < 0
    assert surplus("latent") < 0


def test_the_oracle_leaves_right_answers_alone_and_the_feature_of_another_diagnosis_does_not(workbench):
    seen = told_cases("seen", 150, split="validation", seed=5)
    cases = AnsweredCases.asked(workbench.host, seen[:40])
    policy = Oracle.at(workbench, Site("resid_post", 3), seen)
    assert cases.counts(policy.run(cases, policy.specs(cases.told, 1.0)))[1] == 0
    other = policy.run(cases, policy.specs(cases.told, 1.0, null="concept", rng=random.Random(0)))
    assert cases.counts(other)[1] > 0


def test_mention_tokens_cover_the_mention(workbench):
    told = told_cases("seen", 1, split="test", seed=3)[0]
    ids = workbench.host.tokenise(told.prompt)
    for mention, tokens in zip(told.mentions, mention_tokens(workbench.host, told), strict=True):
        assert mention.text in workbench.host.tokenizer.decode(ids[tokens])


def _record(n_wrong: int, corrected: int) -> dict:  # type: ignore[type-arg]
    before = [0] * n_wrong + [1] * (40 - n_wrong)
    good = [int(i < corrected) for i in range(n_wrong)] + [1] * (40 - n_wrong)
    bad = [0] * n_wrong + [0] * 10 + [1] * (30 - n_wrong)
    outcomes = {
        policy: {"right": bad if policy.endswith(("latents", "finding", "other diagnosis")) else good, "kl": [0.1] * 40}
        for policy in POLICIES
    }
    row = {"site": "resid_post.0", "strength": 2.0, "corrected": 5, "disrupted": 1, "kl": 0.1}
    settled = {"site": "resid_post.0", "strength": 2.0, "n_concepts": 9, "n_cases": 40, "n_wrong": 8, "tried": [row]}
    population = {
        "template": [f"t{i % 13}" for i in range(40)],
        "before": before,
        "n_missed": [1] * 40,
        "equal_kl_strength": {"restore": 1.0, "oracle": 1.0},
        "policies": outcomes,
    }
    return {"restore": settled, "oracle": settled, "broad": None, "populations": {"unseen synonyms": population}}


def test_the_report_sets_corrections_beside_disruptions():
    presented = present(_record(12, 12))
    restore = presented.findings[0]
    assert "corrects 1 (" in restore
    assert "random latents 0.000)" in restore
    assert "disrupts 0.000 (" in restore
    assert "accuracy +0.300" in restore
    assert presented.findings[3].endswith("the edit of features does as well.")
    markdown, page = markdown_and_page(presented)
    assert "| null: random latents on the mentions | 0.000 (0" in markdown
    assert "Corrected and disrupted answers" in page


def test_the_report_says_when_nothing_changed_and_when_there_is_nothing_to_correct():
    assert "no change of accuracy that a test would tell" in present(_record(12, 0)).findings[0]
    assert "never wrong" in present(_record(0, 0)).findings[0]
