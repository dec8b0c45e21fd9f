"""The endpoint judge against a server that answers well, asks to wait, breaks down, talks nonsense, and hangs."""

import json
import math
import time

import pytest
from judge_server import Reply, judge_server, said

from sae.interpretation.judges.answers import ask
from sae.interpretation.judges.cache import AnswerCache
from sae.interpretation.judges.endpoint import NOT_ASKED, EndpointJudge, yes_logit
from sae.interpretation.judges.request import JudgeRequest, Message
from sae.interpretation.judges.retries import Retries

KEY = "sk-very-secret"
QUICK = Retries(attempts=3, first_s=0.01, longest_s=0.05)


def question(number, **params):
    return JudgeRequest((Message("system", "Judge."), Message("user", f"Question {number}?")), **params)


def number_of(body):
    return int("".join(filter(str.isdigit, body["messages"][-1]["content"])))


@pytest.fixture
def cache(tmp_path):
    with AnswerCache(tmp_path / "judge.sqlite") as cache:
        yield cache


def judge(server, cache, **options):
    return EndpointJudge("m", server.url, cache, **{"retries": QUICK, "timeout_s": 5.0, **options})


def test_answers_come_in_the_order_of_the_questions(cache):
    def answer(body, _):
        number = number_of(body)
        return Reply(json.loads(said("yes" if number % 2 else "no").body), hang=0.02 * (number % 3))

    with judge_server(answer) as server:
        verdicts = ask(judge(server, cache, concurrency=4), [question(number) for number in range(12)])
    assert [each.choice for each in verdicts] == ["no", "yes"] * 6
    assert 1 < server.most_at_once <= 4
    assert verdicts[0].results[0].usage == {"prompt_tokens": 12, "completion_tokens": 1}


def test_what_is_sent(cache, monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    schema = {"type": "object", "properties": {"answer": {"enum": ["yes", "no"]}}, "required": ["answer"]}
    with judge_server(lambda *_: said('{"answer": "no"}', {"no": -0.1, "yes": -2.4})) as server:
        asked = question(0, json_schema=schema, top_logprobs=5, seed=3, max_tokens=4)
        [verdict] = ask(judge(server, cache, key_variable="MY_KEY"), [asked])
    body = server.bodies[0]
    assert (body["model"], body["max_tokens"], body["temperature"], body["seed"]) == ("m", 4, 0.0, 3)
    assert (body["logprobs"], body["top_logprobs"]) == (True, 5)
    assert body["response_format"]["json_schema"]["schema"] == schema
    assert body["messages"][0] == {"role": "system", "content": "Judge."}
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert (verdict.choice, verdict.yes_logit) == ("no", pytest.approx(-2.3))
    assert verdict.results[0].parsed == {"answer": "no"}


def test_without_a_key_none_is_sent(cache, monkeypatch):
    monkeypatch.delenv("JUDGE_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with judge_server(lambda *_: said("yes")) as server:
        ask(judge(server, cache), [question(0)])
    assert "Authorization" not in server.headers[0]


def test_known_answers_are_not_asked_again_whoever_has_them(cache, monkeypatch):
    monkeypatch.setenv("JUDGE_API_KEY", KEY)
    questions = [question(number) for number in range(4)]
    with judge_server(lambda *_: said("yes")) as server:
        ask(judge(server, cache), questions[:2])
        first = len(server.bodies)
    with judge_server(lambda *_: said("yes")) as other:  # another address
        verdicts = ask(judge(other, cache), [*questions, questions[3]])
    assert (first, len(other.bodies)) == (2, 2)
    assert [each.results[0].cached for each in verdicts] == [True, True, False, False, False]
    stored = cache.path.read_bytes() + cache.path.with_name(cache.path.name + "-wal").read_bytes()
    assert KEY.encode() not in stored
    assert b"127.0.0.1" not in stored


def test_a_busy_server_is_asked_again_when_it_says_so(cache):
    waits = []

    def answer(body, number):
        waits.append(time.perf_counter())
        return Reply({"error": "slow down"}, status=429, headers={"Retry-After": "0.3"}) if number == 0 else said("yes")

    with judge_server(answer) as server:
        [verdict] = ask(judge(server, cache, retries=Retries(attempts=3, first_s=0.01)), [question(0)])
    assert verdict.choice == "yes"
    assert waits[1] - waits[0] >= 0.3


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_failures_that_may_pass_are_tried_again(cache, status):
    with judge_server(lambda _, number: Reply(b"no", status=status) if number < 2 else said("no")) as server:
        [verdict] = ask(judge(server, cache), [question(0)])
    assert verdict.choice == "no"
    assert len(server.bodies) == 3


def test_failures_that_stay_are_counted_and_not_kept(cache):
    def answer(body, _):
        return Reply(b"broken", status=500) if number_of(body) == 1 else said("yes")

    with judge_server(answer) as server:
        verdicts = ask(judge(server, cache, concurrency=1), [question(number) for number in range(3)])
    assert [each.choice for each in verdicts] == ["yes", None, "yes"]
    assert verdicts[1].error == "status 500: broken"
    assert len(cache) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_ends_the_run_at_once(cache, monkeypatch, status):
    monkeypatch.setenv("JUDGE_API_KEY", KEY)
    with (
        judge_server(lambda *_: Reply(f"bad key {KEY}".encode(), status=status)) as server,
        pytest.raises(ValueError, match=f"refused with status {status} .*expected an answer") as refusal,
    ):
        ask(judge(server, cache, concurrency=1), [question(number) for number in range(20)])
    assert len(server.bodies) < 5
    assert KEY not in str(refusal.value)
    assert "JUDGE_API_KEY" in str(refusal.value)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": {}}]}'])
def test_replies_without_an_answer_are_failures(cache, body):
    with judge_server(lambda *_: Reply(body)) as server:
        [verdict] = ask(judge(server, cache), [question(0)])
    assert verdict.choice is None
    assert "a reply without an answer in it" in verdict.error
    assert len(server.bodies) == 3
    assert len(cache) == 0


def test_nonsense_is_asked_about_once_more_and_then_failed(cache):
    def answer(body, _):
        is_second = len(body["messages"]) > 2
        return said("no" if is_second and number_of({"messages": body["messages"][:2]}) == 0 else "Well, perhaps.")

    with judge_server(answer) as server:
        verdicts = ask(judge(server, cache), [question(0), question(1)])
    assert [each.choice for each in verdicts] == ["no", None]
    assert verdicts[1].error == "answered 'Well, perhaps.', expected one of yes, no"
    assert len(server.bodies) == 4
    assert [len(each.results) for each in verdicts] == [2, 2]


def test_a_server_that_hangs_is_given_up_with_one_clear_line(cache):
    start = time.perf_counter()
    with (
        judge_server(lambda *_: Reply(b"", hang=0.4)) as server,
        pytest.raises(ValueError, match=r"failed \d+ times in a row \(the last: no answer within 0\.1 s\)"),
    ):
        ask(judge(server, cache, timeout_s=0.1, breaker=6, concurrency=2), [question(number) for number in range(50)])
    assert len(server.bodies) <= 8
    assert time.perf_counter() - start < 5


def test_a_server_that_is_not_there_is_given_up(cache):
    with judge_server(lambda *_: said("yes")) as server:
        pass
    with pytest.raises(ValueError, match=r"times in a row .*check the server and run again, 0 answers are kept"):
        ask(judge(server, cache, breaker=4), [question(number) for number in range(10)])


def test_what_was_answered_before_a_breakdown_is_kept(cache):
    with (
        judge_server(lambda body, _: said("yes") if number_of(body) < 3 else Reply(b"", status=500)) as server,
        pytest.raises(ValueError, match="3 answers are kept"),
    ):
        ask(judge(server, cache, concurrency=1, breaker=4), [question(number) for number in range(20)])
    with judge_server(lambda *_: said("yes")) as server:
        verdicts = ask(judge(server, cache), [question(number) for number in range(20)])
    assert len(server.bodies) == 17
    assert all(each.choice == "yes" for each in verdicts)


def test_being_asked_to_wait_is_no_breakdown(cache):
    """Eight questions, each refused twice for being too early, with a breaker of four."""
    seen = {}

    def answer(body, _):
        seen[number_of(body)] = seen.get(number_of(body), 0) + 1
        return said("yes") if seen[number_of(body)] == 3 else Reply(b"", status=429)

    with judge_server(answer) as server:
        verdicts = ask(judge(server, cache, breaker=4), [question(number) for number in range(8)])
    assert all(each.choice == "yes" for each in verdicts)


def test_no_more_requests_than_allowed(cache):
    with judge_server(lambda *_: said("yes")) as server:
        verdicts = ask(judge(server, cache, max_requests=3), [question(number) for number in range(5)])
        assert [each.error for each in verdicts] == [None] * 3 + [NOT_ASKED] * 2
        again = ask(judge(server, cache, max_requests=3), [question(number) for number in range(5)])
    assert len(server.bodies) == 5
    assert all(each.choice == "yes" for each in again)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host/v1", "http://", ""])
def test_an_address_that_is_none_is_refused(cache, url):
    with pytest.raises(ValueError, match=r"the judge's address is .*, expected http://HOST/v1"):
        EndpointJudge("m", url, cache)


def test_yes_logit_sums_the_spellings():
    logit = yes_logit({"Yes": math.log(0.5), " yes": math.log(0.1), "no": math.log(0.2), "the": math.log(0.1)})
    assert logit == pytest.approx(math.log(0.6 / 0.2))
    assert yes_logit({"yes": math.log(0.8), "the": math.log(0.1)}) == pytest.approx(math.log(8))
    assert yes_logit({"the": -0.1}) is None
    assert yes_logit({}) is None
