"""A user's own pairs of vignettes, as lines of JSON.

A line has `prompt`, `changed_prompt`, `answer`, `changed_answer` and `kind`, one of `KINDS`; optionally `template` (by
default each line is its own), `spans` and `changed_spans` (lists of {start, end, concept} in characters, as in files of
labelled documents), `changed_from`, `changed_to`, `decisive` (concepts) and `question`.

`circuits` reads pairs of another form (`circuits.prompts.pairs`): its spans align prompts of unequal length and have no
meaning, and it knows neither kinds nor concepts. `as_circuit_pair` writes one of ours as one of those.
"""

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.clinical_reasoning.alignment import misalignment
from experiments.clinical_reasoning.vignette_pair import KINDS, Kind, VignettePair
from sae.annotated_text import TextSpan
from sae.text_files import file_lines
from sae.written_whole import written_whole

__all__ = ["FilePairs", "as_circuit_pair", "read_vignette_pairs", "write_pairs"]

TEXTS = ("prompt", "changed_prompt", "answer", "changed_answer")
OPTIONAL_TEXTS = ("template", "changed_from", "changed_to", "question")
LISTS = ("spans", "changed_spans", "decisive")


class FilePairs:
    """Pairs of a file, every one of which the model's tokenizer can align.

    Args:
        path: Lines of JSON, plain or gzip.
        tokenizer: A fast transformers tokenizer.

    Raises:
        ValueError: The file cannot be read, or a line is no pair or cannot be aligned; the line is named.
    """

    def __init__(self, path: Path, tokenizer: Any) -> None:
        self._pairs = read_vignette_pairs(path, tokenizer)

    def pairs(self, kind: Kind, *, seed: int) -> Iterator[VignettePair]:
        """The pairs of a kind in an order that the seed draws; they end, and there may be none."""
        own = [pair for pair in self._pairs if pair.kind == kind]
        random.Random(f"pairs of a file {seed}").shuffle(own)
        return iter(own)


def read_vignette_pairs(path: Path, tokenizer: Any) -> list[VignettePair]:
    """The pairs of a file, in its order, each checked; blank lines are skipped.

    Raises:
        ValueError: As `FilePairs`.
    """
    if not path.is_file():
        raise ValueError(f"pairs file {path} does not exist; check the path")
    pairs = []
    for number, line in enumerate(file_lines(path), 1):
        if line.strip():
            where = f"line {number} of {path}"
            pair = _pair(line, where, default_template=f"line {number}")
            if reason := misalignment(tokenizer, pair):
                raise ValueError(f"{where}: {reason}")
            pairs.append(pair)
    if not pairs:
        raise ValueError(f"pairs file {path} holds no pair, expected one a line; see {__name__}")
    return pairs


def write_pairs(path: Path, pairs: Iterable[VignettePair]) -> None:
    """Pairs as a file that `FilePairs` reads; the whole of it or nothing."""
    with written_whole(path) as part, part.open("w", encoding="utf-8") as file:
        for pair in pairs:
            file.write(json.dumps(asdict(pair), ensure_ascii=False) + "\n")


def as_circuit_pair(pair: VignettePair) -> dict[str, Any]:
    """The pair as a line of `circuits discover --pairs`; token by token, without spans."""
    return {
        "clean_prefix": pair.prompt,
        "patch_prefix": pair.changed_prompt,
        "clean_answer": f" {pair.answer}",
        "patch_answer": f" {pair.changed_answer}",
        "template": pair.template,
    }


def _pair(line: str, where: str, default_template: str) -> VignettePair:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not valid JSON ({error}); expected an object with {', '.join(TEXTS)}") from None
    if not isinstance(record, dict):
        raise ValueError(f"{where} is no JSON object, expected one with {', '.join(TEXTS)} and kind; write it as one")
    _check_fields(record, where)
    prompt, changed = record["prompt"], record["changed_prompt"]
    return VignettePair(
        kind=record["kind"],
        template=record.get("template", default_template),
        prompt=prompt,
        changed_prompt=changed,
        answer=record["answer"].strip(),
        changed_answer=record["changed_answer"].strip(),
        changed_from=record.get("changed_from", ""),
        changed_to=record.get("changed_to", ""),
        spans=_spans(record.get("spans", []), "spans", prompt, where),
        changed_spans=_spans(record.get("changed_spans", []), "changed_spans", changed, where),
        decisive=tuple(record.get("decisive", ())),
        question=record.get("question", "diagnosis"),
    )


def _check_fields(record: Mapping[str, Any], where: str) -> None:
    if unknown := sorted(set(record) - {*TEXTS, "kind", *OPTIONAL_TEXTS, *LISTS}):
        known = ", ".join((*TEXTS, "kind", *OPTIONAL_TEXTS, *LISTS))
        raise ValueError(f"{where} has the field {unknown[0]!r}, expected some of {known}; rename or drop it")
    for name in TEXTS:
        if not isinstance(record.get(name), str) or not record[name].strip():
            raise ValueError(f"{name} in {where} is {record.get(name)!r}, expected a text; add it")
    for name in ("prompt", "changed_prompt"):
        if record[name] != record[name].rstrip():
            raise ValueError(f"{name} in {where} ends with a space, expected the answer to bring it; take it off")
    if record.get("kind") not in KINDS:
        raise ValueError(f"kind in {where} is {record.get('kind')!r}, expected one of {', '.join(KINDS)}; choose one")
    for name in OPTIONAL_TEXTS:
        if not isinstance(record.get(name, ""), str):
            raise ValueError(f"{name} in {where} is {record[name]!r}, expected a text; write it in quotes")
    decisive = record.get("decisive", [])
    if not isinstance(decisive, list) or not all(isinstance(concept, str) for concept in decisive):
        raise ValueError(f"decisive in {where} is {decisive!r}, expected a list of concepts; write it as one")


def _spans(given: Any, name: str, text: str, where: str) -> tuple[TextSpan, ...]:
    try:
        spans = tuple(TextSpan(span["start"], span["end"], span["concept"]) for span in given)
        is_sound = all(
            type(span.start) is int and type(span.end) is int and isinstance(span.concept, str) for span in spans
        )
    except (KeyError, TypeError):
        is_sound = False
    if not is_sound:
        raise ValueError(f"{name} in {where} is {given!r}, expected a list of {{start, end, concept}}; write it as one")
    for span in spans:
        if not 0 <= span.start < span.end <= len(text):
            raise ValueError(
                f"{name} in {where} marks {span.concept!r} at {span.start} to {span.end}, "
                f"expected a part of the {len(text)} characters; count them from 0"
            )
    return spans
