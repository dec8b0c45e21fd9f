"""Judges that follow a rule: nulls that do not look or prefer a place, one that looks for words, one that knows all."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from sae.interpretation.judges.request import JudgeRequest, JudgeResult

__all__ = ["KINDS", "ScriptedJudge", "lexical_answer"]

KINDS = ("yes", "no", "first", "coin", "lexical", "oracle")
QUOTED = re.compile(r'"([^"]+)"')
MARKED = re.compile(r"<<(.*?)>>")
SECTION = re.compile(r"^(Explanation|Text|Text \d+):\n(.*?)(?:\n\n|\Z)", re.DOTALL | re.MULTILINE)
WORD = re.compile(r"\w+")


class ScriptedJudge:
    """Answers every question at once.

    Args:
        kind: `yes` and `no` say that, or the first and the last choice where there is neither; `first` gives whatever
            is listed first, `coin` any; `lexical` looks whether the words that an explanation quotes are in the text,
            `oracle` gives the right answer.
        truths: For the oracle, the right answers by the key of the question.

    Raises:
        ValueError: There is no such kind.
    """

    def __init__(self, kind: str, truths: Mapping[str, str] | None = None) -> None:
        if kind not in KINDS:
            raise ValueError(f"there is no scripted judge {kind!r}, expected one of {', '.join(KINDS)}")
        self.name = f"scripted:{kind}"
        self.model = self.name
        self._truths = truths or {}
        self._answer: Callable[[JudgeRequest], str] = {
            "yes": lambda request: "yes" if "yes" in request.choices else request.choices[0],
            "no": lambda request: "no" if "no" in request.choices else request.choices[-1],
            "first": lambda request: request.choices[0],
            "coin": self._toss,
            "lexical": lexical_answer,
            "oracle": lambda request: self._truths[request.key(self.model)],
        }[kind]

    def complete(self, requests: Sequence[JudgeRequest]) -> Iterator[JudgeResult]:
        """One result a request, in their order."""
        for request in requests:
            yield JudgeResult(self._answer(request), finish_reason="stop")

    def _toss(self, request: JudgeRequest) -> str:
        """Equally likely, the same for the same question."""
        return request.choices[int(request.key(self.model), 16) % len(request.choices)]


def lexical_answer(request: JudgeRequest) -> str:
    """Yes if a phrase that the explanation quotes is in the text, or is marked where tokens are marked.

    Of several texts without an explanation, the number of the one that shares fewest words with the others.
    """
    sections = dict(SECTION.findall(request.messages[-1].content))
    if "Explanation" not in sections:
        return _odd_one_out(sections)
    text = sections["Text"]
    sought = [_words(phrase.rpartition(":")[2].replace("_", " ")) for phrase in QUOTED.findall(sections["Explanation"])]
    marked = MARKED.findall(text)
    if marked:
        is_there = any(set(_words(" ".join(marked))) & set(words) for words in sought)
    else:
        here = f" {' '.join(_words(text))} "
        is_there = any(f" {' '.join(words)} " in here for words in sought if words)
    return "yes" if is_there else "no"


def _odd_one_out(sections: Mapping[str, str]) -> str:
    words = {name.removeprefix("Text "): set(_words(text)) for name, text in sections.items()}
    return min(words, key=lambda name: sum(len(words[name] & others) for others in words.values()))


def _words(text: str) -> list[str]:
    return WORD.findall(text.casefold())
