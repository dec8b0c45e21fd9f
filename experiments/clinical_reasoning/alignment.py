"""Whether the two prompts of a pair can be compared token by token, and their answers told apart."""

from typing import Any

from experiments.clinical_reasoning.vignette_pair import VignettePair
from sae.annotated_text import TextSpan
from sae.host.prompts import continuation_ids, prompt_ids, prompt_offsets

__all__ = ["differing_tokens", "misalignment"]


def differing_tokens(tokenizer: Any, pair: VignettePair) -> tuple[int, ...]:
    """Positions at which the prompts of an aligned pair have different tokens, BOS counted."""
    ids, changed_ids = prompt_ids(tokenizer, pair.prompt), prompt_ids(tokenizer, pair.changed_prompt)
    return tuple(i for i, (a, b) in enumerate(zip(ids, changed_ids, strict=True)) if a != b)


def misalignment(tokenizer: Any, pair: VignettePair) -> str | None:
    """Why a pair cannot be used: what is wrong, what was expected, what to do; None where nothing is.

    Its prompts must have equal token length and differ; where both name spans, in no token outside of those that only
    one of them names; answers that differ must differ in their first token.

    Args:
        tokenizer: A fast transformers tokenizer.
        pair: Two prompts, neither blank.
    """
    lengths = [len(prompt_ids(tokenizer, text)) for text in (pair.prompt, pair.changed_prompt)]
    if lengths[0] != lengths[1]:
        return f"prompt has {lengths[0]} tokens, changed_prompt {lengths[1]}, expected equal numbers; reword one"
    if pair.prompt == pair.changed_prompt:
        return "prompt and changed_prompt are the same, expected one difference; change one"
    return _stray_token(tokenizer, pair) or _confused_answers(tokenizer, pair)


def _stray_token(tokenizer: Any, pair: VignettePair) -> str | None:
    if not (pair.spans and pair.changed_spans):
        return None
    concepts = [{span.concept for span in spans} for spans in (pair.spans, pair.changed_spans)]
    own = [span for span in pair.spans if span.concept not in concepts[1]]
    changed_own = [span for span in pair.changed_spans if span.concept not in concepts[0]]
    sides = (("prompt", pair.prompt, own), ("changed_prompt", pair.changed_prompt, changed_own))
    for name, text, spans in sides:
        offsets = prompt_offsets(tokenizer, text)
        for token in differing_tokens(tokenizer, pair):
            start, end = offsets[token]
            if not any(_touch(span, start, end) for span in spans):
                named = ", ".join(sorted({span.concept for span in spans})) or "none"
                return (
                    f"token {token} of {name}, {text[start:end]!r}, differs outside the spans that only it has "
                    f"({named}), expected differences within them; reword it or name its span"
                )
    return None


def _touch(span: TextSpan, start: int, end: int) -> bool:
    return start < span.end and end > span.start


def _confused_answers(tokenizer: Any, pair: VignettePair) -> str | None:
    if pair.answer == pair.changed_answer:
        return None
    first, second = (continuation_ids(tokenizer, answer)[0] for answer in (pair.answer, pair.changed_answer))
    if first != second:
        return None
    return (
        f"answers {pair.answer!r} and {pair.changed_answer!r} begin with the same token {tokenizer.decode([first])!r}, "
        "expected different first tokens; choose other answers"
    )
