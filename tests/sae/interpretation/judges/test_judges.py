"""Answers are understood or not, kept, passed on and replayed; scripted judges follow rules; what asking costs."""

import dataclasses
import sqlite3

import pytest

from sae.interpretation.judges.answers import ask, chosen
from sae.interpretation.judges.cache import AnswerCache, default_cache, write_answers
from sae.interpretation.judges.cost import estimate_cost
from sae.interpretation.judges.replay import ReplayJudge
from sae.interpretation.judges.request import JudgeRequest, JudgeResult, Message
from sae.interpretation.judges.retries import Retries, is_worth_repeating, retry_after_seconds
from sae.interpretation.judges.scripted import ScriptedJudge, lexical_answer
from sae.interpretation.judges.selection import open_judge


def question(text, **params):
    return JudgeRequest((Message("user", text),), **params)


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("yes", "yes"),
        (" No.", "no"),
        ("**YES**", "yes"),
        ("Yes, there is no doubt.", "yes"),
        ("The answer is no", "no"),
        ("<think>yes yes yes</think>\nno", "no"),
        ("None", None),
        ("", None),
        ("I cannot say yes or no.", None),
        ("nope", None),
    ],
)
def test_an_answer_is_understood_or_not_and_never_guessed(text, choice):
    assert chosen(text, ("yes", "no")) == choice


def test_numbers_are_answers_too():
    assert chosen("Text 4.", ("1", "2", "3", "4", "5")) == "4"
    assert chosen("14", ("1", "2", "3", "4", "5")) is None


def test_the_key_depends_on_all_that_the_answer_depends_on():
    asked = question("a")
    others = [
        question("b"),
        JudgeRequest((Message("system", "a"),)),
        *(question("a", **change) for change in ({"seed": 1}, {"max_tokens": 2}, {"top_logprobs": 1})),
        question("a", temperature=0.5),
        question("a", json_schema={}),
    ]

    assert len({each.key("m") for each in (asked, *others)} | {asked.key("other")}) == len(others) + 2
    assert asked.key("m") == question("a").key("m")
    assert asked.key("m") == question("a", choices=("a", "b")).key("m")  # they are not sent


def test_answers_are_kept_across_openings(tmp_path):
    given = JudgeResult("yes", yes_logit=1.5, finish_reason="stop", usage={"prompt_tokens": 3}, latency_s=0.2)
    with AnswerCache(tmp_path / "deep" / "judge.sqlite") as cache:
        assert cache.get("m", question("a")) is None
        cache.put("m", question("a"), given)
        mode = sqlite3.connect(cache.path).execute("pragma journal_mode").fetchone()[0]
    with AnswerCache(tmp_path / "deep" / "judge.sqlite") as cache:
        assert mode == "wal"
        assert cache.get("m", question("a")) == dataclasses.replace(given, cached=True)
        assert cache.get("n", question("a")) is None
        assert len(cache) == 1


def test_an_error_is_not_kept(tmp_path):
    with AnswerCache(tmp_path / "j.sqlite") as cache, pytest.raises(ValueError, match="an error is no answer to keep"):
        cache.put("m", question("a"), JudgeResult(error="no"))


def test_a_cache_that_is_none_is_refused(tmp_path):
    (tmp_path / "j.sqlite").write_text("something else, long enough not to be taken for an empty file" * 20)
    with pytest.raises(ValueError, match="cannot be used"):
        AnswerCache(tmp_path / "j.sqlite")


def test_the_default_cache_is_the_user_s(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "domain-circuits" / "judge.sqlite"


@pytest.mark.parametrize("suffix", ["sqlite", "jsonl"])
def test_recorded_answers_are_replayed_and_nothing_else(tmp_path, suffix):
    path = tmp_path / f"answers.{suffix}"
    pairs = [(question("a"), JudgeResult("yes", yes_logit=0.5)), (question("b"), JudgeResult(error="failed"))]
    if suffix == "jsonl":
        write_answers(path, "m", pairs)
    else:
        with AnswerCache(path) as cache:
            cache.put("m", *pairs[0])
    judge = ReplayJudge(path)
    verdicts = ask(judge, [question("a"), question("b")])

    assert (judge.name, judge.model) == ("replay:m", "m")
    assert (verdicts[0].choice, verdicts[0].yes_logit) == ("yes", 0.5)
    assert (verdicts[1].choice, verdicts[1].error) == (None, "not among the recorded answers")


def test_recorded_answers_that_cannot_be_used_are_refused(tmp_path):
    path = tmp_path / "answers.jsonl"
    with pytest.raises(ValueError, match="there are no recorded answers at"):
        ReplayJudge(path)
    path.write_text('{"model": "m"}\n')
    with pytest.raises(ValueError, match="are damaged"):
        ReplayJudge(path)
    path.write_text("")
    with pytest.raises(ValueError, match="holds answers of the models none, expected one"):
        ReplayJudge(path)


def detection(explanation, text):
    return question(f"Explanation:\n{explanation}\n\nText:\n{text}\n\nWell? Answer yes or no.")


@pytest.mark.parametrize(
    ("explanation", "text", "answer"),
    [
        ('on "fever"; 1 token after "denies"', "She has a fever today", "yes"),
        ('on "fever"', "She is feverish", "no"),
        ('on "sore throat"', "A sore, throat", "yes"),
        ('mentions of "pos:sore_throat"', "A sore throat", "yes"),
        ("fever", "fever", "no"),
        ('on "fever"', "She has a <<fever>> today", "yes"),
        ('on "fever"', "She has a fever <<today>>", "no"),
    ],
)
def test_the_lexical_judge_looks_for_quoted_words(explanation, text, answer):
    assert lexical_answer(detection(explanation, text)) == answer


def test_the_lexical_judge_finds_the_text_that_shares_least():
    texts = ["a fever", "the fever", "fever again", "something else", "fever now"]
    listed = "\n\n".join(f"Text {number}:\n{text}" for number, text in enumerate(texts, 1))
    assert lexical_answer(question(f"{listed}\n\nWhich one?", choices=("1", "2", "3", "4", "5"))) == "4"


def test_scripted_judges_follow_their_rules():
    asked = [question(str(number)) for number in range(400)]
    said = {kind: [each.choice for each in ask(ScriptedJudge(kind), asked)] for kind in ("yes", "no", "coin")}
    truths = {each.key("scripted:oracle"): "no" for each in asked}

    assert (set(said["yes"]), set(said["no"])) == ({"yes"}, {"no"})
    assert 150 < said["coin"].count("yes") < 250
    assert {each.choice for each in ask(ScriptedJudge("oracle", truths), asked)} == {"no"}
    with pytest.raises(ValueError, match="there is no scripted judge 'maybe', expected one of yes, no, first"):
        ScriptedJudge("maybe")


@pytest.mark.parametrize("spec", ["openai:model", "openai:@http://h", "nobody", "replay:", "openai:m@"])
def test_a_judge_that_cannot_be_read_is_refused(tmp_path, spec):
    with AnswerCache(tmp_path / "j.sqlite") as cache, pytest.raises(ValueError, match=r"cannot read judge .*expected"):
        open_judge(spec, cache=cache, truths=lambda _: {})


def test_waits_grow_up_to_a_limit_and_heed_the_server():
    retries = Retries(first_s=1.0, longest_s=10.0)
    for attempt in range(8):
        back_off = min(10.0, 2.0**attempt)
        assert back_off / 2 <= retries.wait_s(attempt) <= back_off
    assert retries.wait_s(5, retry_after_s=0.5) == 0.5
    assert retries.wait_s(0, retry_after_s=1e6) == 10.0
    assert len({retries.wait_s(3) for _ in range(20)}) > 1


def test_retry_after_is_read_as_seconds_or_as_a_date():
    assert retry_after_seconds("7") == 7.0
    assert retry_after_seconds("Thu, 01 Jan 1970 00:01:40 GMT", now=70.0) == 30.0
    assert retry_after_seconds("Thu, 01 Jan 1970 00:01:40 GMT", now=700.0) == 0.0
    assert [retry_after_seconds(header) for header in (None, "soon", "inf", "nan")] == [None] * 4


def test_which_failures_may_pass():
    assert [status for status in range(100, 600) if is_worth_repeating(status)] == [408, 409, 429, *range(500, 600)]


def n_words(text):
    return len(text.split())


def test_cost_counts_each_question_once_and_known_ones_not():
    asked = [question("one two", max_tokens=3), question("one two", max_tokens=3), question("three", max_tokens=5)]
    known = asked[2].key("m")
    cost = estimate_cost(
        asked,
        "m",
        lambda text: len(text.split()),
        known=lambda each: each.key("m") == known,
        price_in=2.0,
        price_out=8.0,
    )

    assert (cost.n_requests, cost.n_known) == (2, 1)
    assert (cost.input_tokens, cost.output_tokens) == (2 + 4, 3)
    assert cost.price == pytest.approx((6 * 2 + 3 * 8) / 1e6)
    assert estimate_cost(asked, "m", len).price is None
