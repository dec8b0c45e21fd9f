"""From what is written on the command line to a judge."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sae.interpretation.judges.cache import AnswerCache
from sae.interpretation.judges.replay import ReplayJudge
from sae.interpretation.judges.request import JudgeBackend
from sae.interpretation.judges.scripted import ScriptedJudge

__all__ = ["EXPECTED", "needs_cache", "open_judge"]

EXPECTED = "scripted:yes|no|first|coin|lexical|oracle, replay:FILE or openai:MODEL@URL"


def needs_cache(spec: str) -> bool:
    """Whether a judge's answers cost something and are therefore kept."""
    return spec.startswith("openai:")


def open_judge(
    spec: str, *, cache: AnswerCache | None = None, truths: Callable[[str], Mapping[str, str]], **endpoint: Any
) -> JudgeBackend:
    """The judge that a SPEC stands for.

    Args:
        spec: As in `EXPECTED`.
        cache: Where an endpoint's answers are kept.
        truths: From the name of a judge to the right answers by key; only the oracle asks for them.
        endpoint: Options of `EndpointJudge`.

    Raises:
        ValueError: The SPEC cannot be read, or its file is damaged.
    """
    kind, _, rest = spec.partition(":")
    if kind == "scripted":
        return ScriptedJudge(rest, truths(spec) if rest == "oracle" else None)
    if kind == "replay" and rest:
        return ReplayJudge(Path(rest))
    model, _, url = rest.rpartition("@")
    if kind != "openai" or not model or not url or cache is None:
        raise ValueError(f"cannot read judge {spec!r}, expected {EXPECTED}")
    from sae.interpretation.judges.endpoint import EndpointJudge

    return EndpointJudge(model, url, cache, **endpoint)
