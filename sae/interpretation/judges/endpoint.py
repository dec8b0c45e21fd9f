"""A judge behind any server that speaks the OpenAI chat protocol: vLLM, llama.cpp, Ollama, OpenRouter, OpenAI itself.

Answers are kept as they come, so a run that was cut short goes on with the requests that are left.
"""

import json
import math
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any

import httpx

from sae.interpretation.judges.cache import AnswerCache
from sae.interpretation.judges.privacy import is_on_this_machine
from sae.interpretation.judges.rate_limit import RateLimit, estimated_tokens
from sae.interpretation.judges.request import JudgeRequest, JudgeResult
from sae.interpretation.judges.retries import Retries, is_worth_repeating, retry_after_seconds
from sae.progress import progress_counter

__all__ = ["KEY_VARIABLE", "NOT_ASKED", "EndpointJudge", "yes_logit"]

KEY_VARIABLE = "JUDGE_API_KEY"
NOT_ASKED = "not asked, the limit of requests was reached"
TOO_MANY = 429
"""The status of a server that is well but wants to be asked later."""


class EndpointJudge:
    """Asks a server, several questions at a time.

    Args:
        model: What the server calls the model.
        base_url: Where it is, up to and with the version: `http://localhost:8000/v1`.
        cache: What was answered before, and where new answers go.
        key_variable: Environment variable that holds the server's key; no key is sent where it is not set.
        concurrency: Most requests at a time.
        timeout_s: Longest wait for a server that says nothing.
        retries: What is done about failures that may pass.
        max_requests: Most new requests; those beyond come back as errors.
        limit: How many requests and tokens a minute, second attempts included; none by default.
        breaker: After so many failures in a row, attempts included but those that only ask to wait, nothing is
            asked any more.

    Raises:
        ValueError: The address is none.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        cache: AnswerCache,
        *,
        key_variable: str = KEY_VARIABLE,
        concurrency: int = 8,
        timeout_s: float = 60.0,
        retries: Retries | None = None,
        max_requests: int | None = None,
        limit: RateLimit | None = None,
        breaker: int = 16,
    ) -> None:
        _check_address(base_url)
        self.model = model
        self.name = f"openai:{model}"
        self.n_asked = 0
        self._trusts_proxies = not is_on_this_machine(base_url)
        self._address = base_url.rstrip("/") + "/chat/completions"
        self._cache = cache
        self._key_variable = key_variable
        self._key = os.environ.get(key_variable)
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._retries = retries or Retries()
        self._max_requests = max_requests
        self._limit = limit or RateLimit()
        self._breaker = breaker
        self._lock = threading.Lock()
        self._failures_in_a_row = 0
        self._stop = threading.Event()

    def known(self, request: JudgeRequest) -> bool:
        """Whether it is answered already."""
        return self._cache.get(self.model, request) is not None

    def complete(self, requests: Sequence[JudgeRequest]) -> Iterator[JudgeResult]:
        """One result a request, in their order, as soon as all are answered.

        Raises:
            ValueError: The server refuses the requests, or it never answers.
        """
        by_key = {request.key(self.model): request for request in requests}
        results = {
            key: found for key, request in by_key.items() if (found := self._cache.get(self.model, request)) is not None
        }
        waiting = [key for key in by_key if key not in results]
        allowed = len(waiting) if self._max_requests is None else max(0, self._max_requests - self.n_asked)
        results |= dict.fromkeys(waiting[allowed:], JudgeResult(error=NOT_ASKED))
        results |= self._ask({key: by_key[key] for key in waiting[:allowed]}, n_known=len(by_key) - len(waiting))
        return iter([results[request.key(self.model)] for request in requests])

    def _ask(self, requests: dict[str, JudgeRequest], *, n_known: int) -> dict[str, JudgeResult]:
        """Send requests and keep the answers."""
        if not requests:
            return {}
        results: dict[str, JudgeResult] = {}
        self.n_asked += len(requests)
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        pool = ThreadPoolExecutor(self._concurrency)
        with (
            # what is meant for this machine goes to no proxy, whatever the environment says
            httpx.Client(headers=headers, timeout=self._timeout_s, trust_env=self._trusts_proxies) as client,
            progress_counter(len(requests) + n_known, "judging", unit="request", done=n_known) as bar,
        ):
            futures: dict[Future[JudgeResult], str] = {
                pool.submit(self._one, client, request): key for key, request in requests.items()
            }
            try:
                for future in as_completed(futures):
                    key, result = futures[future], future.result()
                    results[key] = result
                    if result.error is None:
                        self._cache.put(self.model, requests[key], result)
                    if self._failures_in_a_row >= self._breaker:
                        raise self._given_up(result)
                    bar.update(1)
            finally:
                self._stop.set()
                pool.shutdown(cancel_futures=True)
                self._stop.clear()
        return results

    def _given_up(self, result: JudgeResult) -> ValueError:
        return ValueError(
            f"the judge at {self._address} failed {self._failures_in_a_row} times in a row (the last: {result.error}), "
            f"expected answers; check the server and run again, {len(self._cache)} answers are kept"
        )

    def _one(self, client: httpx.Client, request: JudgeRequest) -> JudgeResult:
        """Send one request until it is answered or no attempt is left."""
        start = time.perf_counter()
        error = "stopped"
        for attempt in range(self._retries.attempts):
            is_last = attempt + 1 == self._retries.attempts
            retry_after = None
            admission = self._limit.wait(estimated_tokens(request), self._stop)
            if admission is None:
                break
            try:
                response = client.post(self._address, json=self._body(request))
                if response.is_success:
                    result = _read(response, request, time.perf_counter() - start)
                    self._count(failed=False)
                    if counted := result.usage.get("prompt_tokens", 0) + result.usage.get("completion_tokens", 0):
                        self._limit.correct(admission, counted)
                    return result
                error, retry_after = self._refusal(response)
                self._count(failed=is_last or response.status_code != TOO_MANY)
            except httpx.TimeoutException:
                error = f"no answer within {self._timeout_s:g} s"
                self._count(failed=True)
            except (httpx.RequestError, _NoAnswerError) as problem:
                error = self._redacted(str(problem) or type(problem).__name__)
                self._count(failed=True)
            if is_last or self._stop.wait(self._retries.wait_s(attempt, retry_after)):
                break
        return JudgeResult(error=error, latency_s=time.perf_counter() - start)

    def _count(self, *, failed: bool) -> None:
        """Give up on a server that only ever fails."""
        with self._lock:
            self._failures_in_a_row = self._failures_in_a_row + 1 if failed else 0
            if self._failures_in_a_row >= self._breaker:
                self._stop.set()

    def _refusal(self, response: httpx.Response) -> tuple[str, float | None]:
        """What went wrong and when to try again.

        Raises:
            ValueError: Trying again would not help.
        """
        reason = self._redacted(" ".join(response.text.split())[:200])
        if is_worth_repeating(response.status_code):
            wait = retry_after_seconds(response.headers.get("Retry-After"))
            return f"status {response.status_code}: {reason}", wait
        raise ValueError(
            f"the judge at {self._address} refused with status {response.status_code} ({reason}), expected an answer; "
            f"check the address, the model {self.model!r} and the key in {self._key_variable}"
        )

    def _redacted(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text

    def _body(self, request: JudgeRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": each.role, "content": each.content} for each in request.messages],
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "seed": request.seed,
        }
        if request.top_logprobs:
            body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
        if request.json_schema is not None:
            schema = {"name": "answer", "strict": True, "schema": dict(request.json_schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body


def _check_address(base_url: str) -> None:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"the judge's address is {base_url!r}, expected http://HOST/v1 or https://HOST/v1")


class _NoAnswerError(Exception):
    """The server says that all is well but gives no answer."""


def _read(response: httpx.Response, request: JudgeRequest, seconds: float) -> JudgeResult:
    try:
        reply = response.json()
        choice = reply["choices"][0]
        text = choice["message"]["content"] or ""
        tokens = ((choice.get("logprobs") or {}).get("content") or [{}])[0].get("top_logprobs") or []
        logit = yes_logit({str(each["token"]): float(each["logprob"]) for each in tokens})
        usage = {name: count for name, count in (reply.get("usage") or {}).items() if isinstance(count, int)}
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise _NoAnswerError(f"a reply without an answer in it ({type(error).__name__})") from error
    return JudgeResult(
        text=str(text),
        parsed=_json(text) if request.json_schema is not None else None,
        yes_logit=logit,
        finish_reason=choice.get("finish_reason"),
        usage=usage,
        latency_s=round(seconds, 4),
    )


def yes_logit(log_probs: dict[str, float]) -> float | None:
    """log P(yes) - log P(no) over all spellings of either; None where neither is among the tokens.

    One that is missing gets the smallest log-probability that is there, which bounds it from above.
    """
    sums = {"yes": 0.0, "no": 0.0}
    for token, log_prob in log_probs.items():
        word = token.strip().casefold()
        if word in sums and math.isfinite(log_prob):
            sums[word] += math.exp(log_prob)
    if not any(sums.values()):
        return None
    floor = math.exp(min(each for each in log_probs.values() if math.isfinite(each)))
    return math.log(sums["yes"] or floor) - math.log(sums["no"] or floor)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
