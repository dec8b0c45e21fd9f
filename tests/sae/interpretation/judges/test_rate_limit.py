"""No minute holds more requests or tokens than is allowed; under a clock that only the waiting moves."""

import random
import threading

import pytest
from judge_server import Reply, judge_server, said

from sae.interpretation.judges.answers import ask
from sae.interpretation.judges.cache import AnswerCache
from sae.interpretation.judges.endpoint import EndpointJudge
from sae.interpretation.judges.rate_limit import RateLimit, estimated_tokens
from sae.interpretation.judges.request import JudgeRequest, Message
from sae.interpretation.judges.retries import Retries


class FakeClock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, stop: threading.Event, seconds: float) -> bool:
        self.now += seconds
        return stop.is_set()


def limit(clock, **limits):
    return RateLimit(clock=clock, sleep=clock.sleep, **limits)


def most_in_a_minute(admitted):
    """The slow way: of every stretch of 60 seconds that begins with a request, the requests and their tokens."""
    stretches = [[(at, n) for at, n in admitted if begin <= at < begin + 60.0] for begin, _ in admitted]
    return max(len(each) for each in stretches), max(sum(n for _, n in each) for each in stretches)


@pytest.mark.parametrize(("requests", "tokens"), [(5, None), (None, 900), (7, 800), (1, None)])
def test_no_minute_holds_more_than_is_allowed_and_no_time_is_lost(requests, tokens):
    clock, rng = FakeClock(), random.Random(0)
    limited = limit(clock, requests_per_minute=requests, tokens_per_minute=tokens)
    admitted = []
    for _ in range(60):
        n = rng.randint(20, 400)
        limited.wait(n, threading.Event())
        admitted.append((clock.now, n))
        clock.now += rng.random() * 3
    n_requests, n_tokens = most_in_a_minute(admitted)

    assert requests is None or n_requests <= requests
    assert tokens is None or n_tokens <= tokens
    for place, (at, n) in enumerate(admitted[1:], 1):
        before = admitted[:place]
        if at > before[-1][0] + 3:  # it waited: a moment sooner there was no room
            inside = [each for each in before if each[0] > at - 60.0 - 1e-6]
            is_full = requests is not None and len(inside) >= requests
            assert is_full or (tokens is not None and sum(each for _, each in inside) + n > tokens)


def test_without_limits_nobody_waits():
    clock = FakeClock()
    for _ in range(100):
        limit(clock).wait(10**6, threading.Event())
    assert clock.now == 1000.0


def test_what_the_server_counts_replaces_the_estimate():
    clock = FakeClock()
    limited = limit(clock, tokens_per_minute=100)
    first = limited.wait(90, threading.Event())
    limited.correct(first, 10)
    limited.wait(90, threading.Event())
    assert clock.now == 1000.0
    limited.wait(1, threading.Event())
    assert clock.now == 1060.0


def test_waiting_can_be_ended():
    limited = RateLimit(requests_per_minute=1)
    stop = threading.Event()
    assert limited.wait(1, stop) is not None
    stop.set()
    assert limited.wait(1, stop) is None


def test_bad_limits_are_refused():
    with pytest.raises(ValueError, match="requests per minute are 0, expected at least 1"):
        RateLimit(requests_per_minute=0)
    with pytest.raises(ValueError, match=r"a question needs about 70 tokens, but 60 a minute are allowed"):
        limit(FakeClock(), tokens_per_minute=60).wait(70, threading.Event())


def question(number):
    return JudgeRequest((Message("user", f"Question {number}?"),))


@pytest.mark.parametrize("limits", [{"requests_per_minute": 4}, {"tokens_per_minute": 150}])
def test_an_endpoint_is_asked_no_faster_than_allowed(tmp_path, limits):
    clock, moments = FakeClock(), []

    def answer(*_):
        moments.append(clock.now)
        return said("yes")

    with judge_server(answer) as server, AnswerCache(tmp_path / "judge.sqlite") as cache:
        judge = EndpointJudge("m", server.url, cache, concurrency=1, limit=limit(clock, **limits))
        verdicts = ask(judge, [question(number) for number in range(14)])
    assert [each.choice for each in verdicts] == ["yes"] * 14
    # the server counts 13 tokens a question, the estimate of the one that is waiting is higher
    most = limits.get("requests_per_minute", (150 - estimated_tokens(question(0))) // 13 + 1)
    assert most_in_a_minute([(at, 13) for at in moments])[0] == most < 14


def test_second_attempts_count(tmp_path):
    clock, moments = FakeClock(), []

    def answer(_, number):
        moments.append(clock.now)
        return Reply(b"", status=503) if number == 0 else said("yes")

    with judge_server(answer) as server, AnswerCache(tmp_path / "judge.sqlite") as cache:
        quick = Retries(attempts=3, first_s=0.01)
        judge = EndpointJudge(
            "m", server.url, cache, concurrency=1, retries=quick, limit=limit(clock, requests_per_minute=1)
        )
        ask(judge, [question(0)])
    assert moments == [1000.0, 1060.0]
