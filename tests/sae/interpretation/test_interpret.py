"""The whole of an interpretation on planted features: what is known must be found, what is random must not."""

import json

import pytest
from planted_text import AFTER, ASSERTED, D_SAE, DEAD, EITHER, KNOWN, OTHER_RANDOM, RANDOM, WORD, planted_material
from tiny_models import random_sae

from sae.dictionary.labels import FeatureLabel
from sae.interpretation.interpret import SCORERS, Settings, interpret, plan_interpretation
from sae.interpretation.judges.scripted import ScriptedJudge
from sae.interpretation.record import feature_table, to_record
from sae.interpretation.roles import Role
from sae.interpretation.scored import EXPLAINED, SHUFFLED, TOPIC

FEATURES = (*KNOWN, RANDOM, OTHER_RANDOM, DEAD)


@pytest.fixture(scope="module")
def material():
    return planted_material()


@pytest.fixture(scope="module")
def dictionary():
    """Only its decoder rows matter, for the neighbours."""
    return random_sae(16, D_SAE)


@pytest.fixture(scope="module")
def run(material, dictionary):
    def run(kind, **options):
        settings = Settings(**options)
        plan = plan_interpretation(material, dictionary, FEATURES, settings)
        judge = ScriptedJudge(kind, plan.truths(f"scripted:{kind}"))
        return interpret(material, plan, settings, judge), settings

    return run


@pytest.fixture(scope="module")
def lexical(run):
    return run("lexical")


def metrics(found, scorer, metric, condition=EXPLAINED):
    return {feature: each.metrics.get(metric) for feature, each in found.scores[scorer][condition].items()}


@pytest.mark.parametrize("metric", ["balanced_accuracy", "f1", "f1_at_density"])
def test_planted_rules_are_found_and_random_features_are_not(lexical, metric):
    values = metrics(lexical[0], "lexical", metric)

    assert all(values[feature] > 0.95 for feature in KNOWN if feature != ASSERTED)
    assert all(values[feature] < 0.62 for feature in (RANDOM, OTHER_RANDOM))


@pytest.mark.slow
def test_random_features_score_a_half_on_average(run):
    """Which they must under any seed; a feature's own standard error is about .05."""
    values = []
    for seed in range(3):
        found, _ = run("yes", scorers=("lexical", "embedding"), seed=seed)
        values += [metrics(found, "lexical", "balanced_accuracy")[feature] for feature in (RANDOM, OTHER_RANDOM)]
        values += [metrics(found, "embedding", "auroc")[feature] for feature in (RANDOM, OTHER_RANDOM)]

    assert sum(values) / len(values) == pytest.approx(0.5, abs=0.05)


def test_what_a_word_cannot_tell_shows_in_the_hard_negatives(lexical):
    """ASSERTED is on RASH unless it is denied: the literal finds all of it, and the denied ones too."""
    found = lexical[0]
    details = found.scores["lexical"][EXPLAINED][ASSERTED].details

    assert details["sensitivity"] > 0.95
    assert details["tiers"]["negation"]["called_active"] > 0.9
    assert details["hard_balanced_accuracy"] < details["balanced_accuracy"]


def test_concepts_are_found_by_name(lexical):
    explanations = lexical[0].plan.explanations["ontology"]

    assert explanations[WORD].text == 'mentions of "fever"'
    assert not {AFTER, RANDOM, OTHER_RANDOM} & {f for f, each in explanations.items() if "rash" not in each.text}
    assert metrics(lexical[0], "ontology", "f1")[WORD] > 0.95


def test_shuffled_and_topic_explanations_are_nulls(lexical):
    """Up to what features truly share: WORD is a part of EITHER, and ASSERTED is on what is often denied."""
    exchanged = lexical[0].plan.exchanged["lexical"]
    related = ({WORD, EITHER}, {AFTER, ASSERTED})
    for scorer in ("lexical", "detection"):
        topic = metrics(lexical[0], scorer, "balanced_accuracy", TOPIC)
        shuffled = metrics(lexical[0], scorer, "balanced_accuracy", SHUFFLED)
        strangers = [shuffled[each] for each in shuffled if {each, exchanged[each]} not in related]
        assert sum(topic.values()) / len(topic) == pytest.approx(0.5, abs=0.1)
        assert len(strangers) >= 2
        assert sum(strangers) / len(strangers) == pytest.approx(0.5, abs=0.1)


def test_embeddings_find_what_texts_share(lexical):
    """By one word of sixteen: well above chance, and lost when the explain windows are another feature's."""
    own, shuffled = (metrics(lexical[0], "embedding", "auroc", each) for each in (EXPLAINED, SHUFFLED))

    assert own[WORD] > 0.9
    assert shuffled[WORD] < 0.7
    assert metrics(lexical[0], "embedding_intruder", "accuracy")[WORD] > 0.5


def test_sensitivity_is_recall_on_fresh_text(lexical, material):
    values = metrics(lexical[0], "sensitivity", "")

    assert values[WORD] == values[AFTER] == 1.0
    fresh = material.windows.has_role(Role.FRESH)
    base = float((material.windows.strongest(RANDOM)[fresh] > 0).double().mean())
    assert lexical[0].scores["sensitivity"][EXPLAINED][RANDOM].trivial[""] == pytest.approx(base)


def test_the_lexical_judge_reads_the_explanation(lexical):
    for scorer in ("detection", "fuzzing"):
        values = metrics(lexical[0], scorer, "balanced_accuracy")
        assert values[WORD] > 0.95


@pytest.mark.parametrize(("kind", "expected"), [("yes", 0.5), ("no", 0.5), ("oracle", 1.0)])
def test_scripted_judges_get_what_they_must(run, kind, expected):
    found, _ = run(kind, scorers=("detection", "fuzzing", "intruder"))

    for scorer in ("detection", "fuzzing"):
        assert set(metrics(found, scorer, "balanced_accuracy").values()) == {expected}
        assert found.scores[scorer][EXPLAINED][WORD].metrics["f1"] == pytest.approx(
            {"yes": 2 / 3, "no": 0.0, "oracle": 1.0}[kind], abs=0.02
        )
    accuracy = metrics(found, "intruder", "accuracy")
    assert set(accuracy.values()) == ({1.0} if kind == "oracle" else {0.2})


def test_a_coin_is_at_chance(run):
    found, _ = run("coin", scorers=("detection", "intruder"))

    detection, intruder = (
        next(row for row in found.rows if row.name == name)
        for name in ("detection_balanced_accuracy", "intruder_accuracy")
    )
    assert detection.value.value == pytest.approx(0.5, abs=0.06)
    assert intruder.value.value == pytest.approx(0.2, abs=0.12)
    assert detection.gain.low <= 0 <= detection.gain.high


def test_rows_are_means_over_features_beside_their_nulls(lexical):
    found = lexical[0]
    row = next(row for row in found.rows if row.name == "lexical_f1")
    own, shuffled = (metrics(found, "lexical", "f1", each) for each in (EXPLAINED, SHUFFLED))

    assert row.value.n == len(own) == 6
    assert row.value.value == pytest.approx(sum(own.values()) / 6)
    assert row.value.low < row.value.value < row.value.high
    assert row.gain.value == pytest.approx(sum(own[each] - shuffled[each] for each in own) / 6)
    assert row.trivial == pytest.approx(2 / 3)


def test_refused_features_are_recorded_with_the_reason(lexical, material):
    found, settings = lexical
    record = to_record(found, material, settings)
    json.dumps(record, allow_nan=False)
    dead = next(each for each in record["features"] if each["feature"] == DEAD)

    assert dead["refusal"] == "active in 0 explain documents, expected at least 20"
    assert dead["scores"] == {}
    assert record["coverage"]["scored"] == 6
    assert record["coverage"]["refused"] == {"active in explain documents": 1}


def test_a_record_names_every_window(lexical, material):
    found, settings = lexical
    record = next(each for each in to_record(found, material, settings)["features"] if each["feature"] == WORD)
    tokens = material.text.firings(WORD)[0]
    for tier, windows in record["windows"].items():
        for document, start, end, activation, _ in windows:
            first = int(material.text.document_offsets[document])
            inside = (tokens >= first + start) & (tokens < first + end)
            assert bool(inside.any()) == (tier in ("explain", "positive")) == (activation > 0)


def test_the_table_has_a_line_a_feature(lexical):
    lines = feature_table(lexical[0]).splitlines()
    heading = lines[0].split("\t")

    assert len(lines) == 1 + len(FEATURES)
    assert all(len(line.split("\t")) == len(heading) for line in lines)
    assert {"lexical_f1", "lexical_f1 shuffled", "sensitivity", "intruder_accuracy"} <= set(heading)


def test_labels_explain_where_features_have_names(material, dictionary):
    settings = Settings(explainer="labels", scorers=("detection", "sensitivity"))
    labels = {WORD: FeatureLabel("fever", 0.9), AFTER: FeatureLabel("what is denied", 0.4)}
    plan = plan_interpretation(material, dictionary, FEATURES, settings, labels=labels)
    found = interpret(material, plan, settings, ScriptedJudge("lexical"))

    assert {f: each.text for f, each in plan.explanations["labels"].items()} == {
        WORD: 'mentions of "fever"',
        AFTER: "what is denied",
    }
    assert set(found.scores["detection"][EXPLAINED]) == {WORD, AFTER}
    assert metrics(found, "sensitivity", "") == {WORD: 1.0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"explainer": "oracle"}, "explainer is 'oracle', expected one of lexical, ontology, labels"),
        ({"scorers": ("lexical", "f1")}, "scorers are f1, expected some of lexical, ontology"),
        ({"scorers": ()}, "scorers are none"),
    ],
)
def test_settings_that_do_not_exist_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Settings(**options)


def test_without_examples_or_explanations_there_is_one_clear_line(material, dictionary):
    with pytest.raises(ValueError, match=r"no feature has enough examples \(feature 7: active in 0 explain documents"):
        plan_interpretation(material, dictionary, [DEAD], Settings())
    with pytest.raises(ValueError, match=r"the explainer labels explains no feature: the SAE has no labels\.json"):
        plan_interpretation(material, dictionary, [WORD], Settings(explainer="labels"))


def test_every_scorer_has_been_asked_for(lexical):
    assert set(lexical[0].scores) == set(SCORERS)
