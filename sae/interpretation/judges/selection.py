"""From what is written on the command line to a judge."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sae.host.host import HostModel
from sae.interpretation.judges.cache import AnswerCache
from sae.interpretation.judges.replay import ReplayJudge
from sae.interpretation.judges.request import JudgeBackend
from sae.interpretation.judges.scripted import ScriptedJudge

__all__ = ["EXPECTED", "needs_cache", "open_judge"]

EXPECTED = "scripted:yes|no|first|coin|lexical|oracle, replay:FILE, hf:NAME or openai:MODEL@URL"


def needs_cache(spec: str) -> bool:
    """Whether a judge's answers cost something and are therefore kept."""
    return spec.startswith(("openai:", "hf:"))


def open_judge(
    spec: str,
    *,
    truths: Callable[[str], Mapping[str, str]],
    cache: AnswerCache | None = None,
    load: Callable[[str], HostModel] = HostModel.load,
    batch: int = 8,
    endpoint: Callable[[], Mapping[str, Any]] = dict,
) -> JudgeBackend:
    """The judge that a SPEC stands for.

    Args:
        spec: As in `EXPECTED`.
        truths: From the name of a judge to the right answers by key; only the oracle asks for them.
        cache: Where answers are kept that cost something.
        load: From the name of a local model to the model.
        batch: Questions that it takes at a time.
        endpoint: Options of `EndpointJudge`.

    Raises:
        ValueError: The SPEC cannot be read, or its file or model is missing or damaged.
    """
    kind, _, rest = spec.partition(":")
    if kind == "scripted":
        return ScriptedJudge(rest, truths(spec) if rest == "oracle" else None)
    if kind == "replay" and rest:
        return ReplayJudge(Path(rest))
    if kind == "hf" and rest:
        from sae.interpretation.judges.hugging_face import HuggingFaceJudge

        return HuggingFaceJudge(load(rest), cache, batch=batch)
    model, _, url = rest.rpartition("@")
    if kind != "openai" or not model or not url or cache is None:
        raise ValueError(f"cannot read judge {spec!r}, expected {EXPECTED}")
    from sae.interpretation.judges.endpoint import EndpointJudge

    return EndpointJudge(model, url, cache, **endpoint())
