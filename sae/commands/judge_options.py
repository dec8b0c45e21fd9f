"""The options of who judges, and the judge that they stand for. Nothing here imports torch."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click

from sae.command_line import Decorator, FiniteFloat, stacked

__all__ = ["judge_options", "opened_judge"]

SPECS = "scripted:KIND, replay:FILE, hf:NAME or openai:MODEL@URL."

judge_options: Decorator = stacked(
    click.option("--judge", default="scripted:lexical", help=SPECS),
    click.option("--second-judge", default=None, help="Another one, asked the same: do they agree?"),
    click.option(
        "--calibrate/--no-calibrate", default=True, help="Ask the judge questions with known answers as well."
    ),
    click.option("--both-orders", is_flag=True, help="Ask all twice, alternatives reversed, and take the mean."),
    click.option(
        "--judge-cache", type=click.Path(path_type=Path), default=None, help="Answers [default: user's cache]."
    ),
    click.option("--judge-key-env", default="JUDGE_API_KEY", help="Environment variable with the endpoint's key."),
    click.option("--judge-dtype", default=None, help="Precision of a judge hf:NAME  [default: --dtype]."),
    click.option("--logprobs", is_flag=True, help="Ask the endpoint for log-probabilities: graded answers, AUROC."),
    click.option("--max-tokens", type=click.IntRange(min=1), default=16, help="Most tokens of a judge's answer."),
    click.option("--max-requests", type=click.IntRange(min=0), default=None, help="Most new requests  [default: all]."),
    click.option(
        "--requests-per-minute", type=click.IntRange(min=1), default=None, help="Of an endpoint  [default: any number]."
    ),
    click.option(
        "--tokens-per-minute", type=click.IntRange(min=1), default=None, help="Of an endpoint  [default: any number]."
    ),
    click.option("--concurrency", type=click.IntRange(min=1), default=8, help="Requests at a time."),
    click.option("--timeout", type=FiniteFloat(0.1), default=60.0, help="Seconds to wait for a silent endpoint."),
    click.option("--price-in", type=FiniteFloat(0.0), default=None, help="Price of a million input tokens."),
    click.option("--price-out", type=FiniteFloat(0.0), default=None, help="Price of a million output tokens."),
)


@contextmanager
def opened_judge(
    spec: str, options: Mapping[str, Any], truths: Callable[[str], Mapping[str, str]], *, host: Any
) -> Iterator[Any]:
    """The judge that a SPEC stands for, with its cache open where it has one.

    Args:
        spec: As in `SPECS`.
        options: Those of `judge_options` and of `host_options`.
        truths: From the name of a judge to the right answers by key; only the oracle asks for them.
        host: The model whose features are judged; it judges itself where the SPEC is its name.

    Raises:
        ValueError: The SPEC cannot be read, or what it names cannot be opened.
    """
    from sae.interpretation.judges.cache import AnswerCache, default_cache
    from sae.interpretation.judges.selection import needs_cache, open_judge

    keeps = needs_cache(spec)
    with AnswerCache(options["judge_cache"] or default_cache()) if keeps else nullcontext() as cache:
        yield open_judge(
            spec,
            cache=cache,
            truths=truths,
            load=lambda name: _model(name, options, host),
            batch=options["concurrency"],
            endpoint=lambda: _endpoint(options),
        )


def _model(name: str, options: Mapping[str, Any], host: Any) -> Any:
    from sae.host.host import HostModel

    dtype = options["judge_dtype"] or options["dtype"]
    if name == options["model"] and dtype == options["dtype"]:
        return host
    return HostModel.load(name, device=options["device"], dtype=dtype)


def _endpoint(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `EndpointJudge`."""
    from sae.interpretation.judges.rate_limit import RateLimit

    return {
        "key_variable": options["judge_key_env"],
        "concurrency": options["concurrency"],
        "timeout_s": options["timeout"],
        "max_requests": options["max_requests"],
        "limit": RateLimit(
            requests_per_minute=options["requests_per_minute"], tokens_per_minute=options["tokens_per_minute"]
        ),
    }
