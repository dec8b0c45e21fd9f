"""Judges of which it is known what they must score: on questions with known answers, in both orders."""

import pytest

from sae.interpretation.calibration import CHANCE, Calibration, calibration_of, score_calibration
from sae.interpretation.calibration_texts import N_GROUPS, N_TOGETHER, mention_groups
from sae.interpretation.judgements import judged
from sae.interpretation.judges.answers import Verdict, ask
from sae.interpretation.judges.request import JudgeRequest, JudgeResult
from sae.interpretation.judges.scripted import ScriptedJudge
from sae.interpretation.questions import detection_question, intruder_question

LIKE = JudgeRequest(())


@pytest.fixture(scope="module")
def calibration():
    return calibration_of(CHANCE, LIKE)


@pytest.fixture(scope="module")
def scores(calibration):
    def scores(kind):
        truths = {
            asked.request.key(f"scripted:{kind}"): asked.truth
            for question in reversed(calibration.questions)
            for asked in question.orders
        }
        asked = [each.request for question in calibration.questions for each in question.orders]
        return score_calibration(calibration, ask(ScriptedJudge(kind, truths), asked))

    return scores


def said(choice, logit=None):
    return Verdict(choice, logit, None if choice else "failed", (JudgeResult(choice or ""),), (LIKE,))


def test_what_the_sentences_mention_is_known():
    groups = mention_groups()
    assert len({group.name for group in groups}) == N_GROUPS
    assert groups == mention_groups()
    for group in groups:
        assert len({sentence.text for sentence in group.sentences}) == N_TOGETHER
        for sentence in group.sentences:
            start, end = sentence.mentions[group.name]
            assert sentence.text[start:end].strip() == sentence.text[start:end] != ""
            assert not sentence.touches(group.other)
        assert not group.stranger.touches(group.name)
        assert not group.stranger.touches(group.other)


def test_neither_text_nor_explanation_alone_gives_the_answer_away(calibration):
    """Each stands in one right and in one wrong pair."""
    pairs = [
        (*question.orders[0].request.messages[1].content.split("\n\n")[:2], question.orders[0].truth)
        for group in calibration.own["detection"]
        for question in group
    ]
    for part in (0, 1):
        for value in {pair[part] for pair in pairs}:
            assert sorted(pair[2] for pair in pairs if pair[part] == value) == ["no", "yes"]


@pytest.mark.parametrize("kind", ["yes", "no", "first"])
def test_judges_that_do_not_look_are_at_chance(scores, kind):
    for scorer, score in scores(kind).items():
        assert score.accuracy.value == pytest.approx(CHANCE[scorer])
        assert score.shuffled.value == pytest.approx(CHANCE[scorer])


def test_a_judge_that_takes_the_first_is_found_out(scores):
    first, yes = scores("first"), scores("yes")
    for scorer, score in first.items():
        assert (score.position_bias.value, score.same_in_both_orders.value) == (1.0, 0.0)
        assert yes[scorer].same_in_both_orders.value == (0.0 if scorer == "intruder" else 1.0)
    assert yes["detection"].position_bias.value == 0.0


def test_a_judge_that_knows_is_right_and_not_swayed(scores):
    for score in scores("oracle").values():
        assert (score.accuracy.value, score.accuracy.low, score.position_bias.value) == (1.0, 1.0, 0.0)


def test_a_judge_that_reads_falls_to_chance_without_anything_to_go_by(scores):
    """Words that the explanation quotes are in the text, or a synonym of them is."""
    found = scores("lexical")
    for scorer in ("detection", "fuzzing"):
        assert found[scorer].accuracy.low > 0.6
        assert found[scorer].shuffled.value == 0.5
    assert found["intruder"].accuracy.low > found["intruder"].shuffled.value


def test_a_coin_is_at_chance_within_its_interval(scores):
    for scorer, score in scores("coin").items():
        assert score.accuracy.low <= CHANCE[scorer] <= score.accuracy.high
        assert score.position_bias.low <= 0 <= score.position_bias.high


def test_failures_are_counted_with_bounds():
    detection = calibration_of(("detection",), LIKE)
    n = sum(len(question.orders) for question in detection.questions)
    score = score_calibration(detection, [said(None)] * 2 + [said("yes")] * (n - 2))["detection"]
    assert (score.n_questions, score.n_failed, score.accuracy.n) == (60, 1, 29)
    assert score.accuracy.value == 0.5
    assert (score.low, score.high) == (29 / 60, 30 / 60)
    nothing = score_calibration(detection, [said(None)] * n)["detection"]
    assert nothing.accuracy.value is None
    assert (nothing.low, nothing.high) == (0.0, 1.0)


def test_nothing_is_asked_for_no_scorer():
    assert calibration_of((), LIKE).questions == []
    assert score_calibration(Calibration({}, {}), []) == {}


def test_both_orders_list_the_same_alternatives():
    question = detection_question("a fever", "She is hot.", True, LIKE, both_orders=True)
    wordings = [asked.request.messages[1].content for asked in question.orders]
    assert wordings[0].replace("Answer yes or no.", "Answer no or yes.") == wordings[1] != wordings[0]
    assert [asked.request.choices for asked in question.orders] == [("yes", "no"), ("no", "yes")]

    odd = intruder_question(["a", "b", "c", "d", "e"], 1, LIKE, both_orders=True)
    assert [asked.truth for asked in odd.orders] == ["2", "4"]
    assert "Text 4:\nb\n" in odd.orders[1].request.messages[1].content


@pytest.mark.parametrize(
    ("verdicts", "yes", "right", "towards_first", "agrees"),
    [
        ([said("yes", 2.0), said("yes", -1.0)], 1.0, 1.0, 0.0, True),
        ([said("yes", 2.0), said("no", -1.0)], 0.5, 0.5, 1.0, False),
        ([said("no", 2.0), said("yes", -1.0)], 0.5, 0.5, -1.0, False),
        ([said("no", 2.0), said("no", -1.0)], 0.0, 0.0, 0.0, True),
        ([said("yes"), said(None)], None, None, None, None),
    ],
)
def test_answers_are_averaged_over_the_orders(verdicts, yes, right, towards_first, agrees):
    question = detection_question("a fever", "She is hot.", True, LIKE, both_orders=True)
    [judgement] = judged([question], verdicts)
    assert (judgement.yes, judgement.right, judgement.towards_first, judgement.agrees) == (
        yes,
        right,
        towards_first,
        agrees,
    )
    assert judgement.yes_logit == (None if yes is None else pytest.approx(0.5))


def test_places_of_intruders_are_mirrored():
    question = intruder_question(["a", "b", "c", "d", "e"], 1, LIKE, both_orders=True)
    consistent, swayed = judged([question] * 2, [said("2"), said("4"), said("1"), said("1")])
    assert (consistent.right, consistent.towards_first, consistent.agrees) == (1.0, 0.0, True)
    assert (swayed.right, swayed.towards_first, swayed.agrees) == (0.0, 1.0, False)


def test_one_order_has_no_agreement():
    question = detection_question("a fever", "She is hot.", False, LIKE)
    [judgement] = judged([question], [said("no", -1.0)])
    assert (judgement.right, judgement.yes, judgement.agrees) == (1.0, 0.0, None)
