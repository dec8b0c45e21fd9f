"""Pairs out of any text, for any model: which earlier word does the model's next word hang on?

1. A content word of a document gives way to one that texts have in the same frame, of as many tokens, and that the
   model finds plausible there (`word_frames`, `swaps`).
2. At a later place the model's next word is another for it (`turns`): there the prompt ends.
3. Of a document, places are taken where both words say something before others, and where the log-odds move more.

There is no other truth than the model's own dependence: its own next words are the answers. Such pairs ask what carries
an answer, and nothing of whether it is right.
"""

import random
from collections.abc import Iterator, Sequence

from experiments.clinical_reasoning.alignment import misalignment
from experiments.clinical_reasoning.swaps import Opening, opening_of
from experiments.clinical_reasoning.turns import MiningRule, Turn, turns_of
from experiments.clinical_reasoning.vignette_pair import Kind, VignettePair
from experiments.clinical_reasoning.word_frames import WordFrames, is_content_word
from sae.annotated_text import TextSpan
from sae.host.host import HostModel
from sae.host.prompts import continuation_ids, prompt_ids

__all__ = ["MinedPairs"]


class MinedPairs:
    """Pairs of kind `finding`, at most one a document, which is its template.

    Args:
        host: The model.
        texts: Documents, best such as it was not trained on.
        rule: Which pairs are taken.
    """

    def __init__(self, host: HostModel, texts: Sequence[str], rule: MiningRule | None = None) -> None:
        self._host = host
        self._texts = texts
        self._rule = rule or MiningRule()
        self._frames = WordFrames(texts)
        self._mined: dict[int, VignettePair | None] = {}
        self._words: dict[int, str | None] = {}

    def pairs(self, kind: Kind, *, seed: int) -> Iterator[VignettePair]:
        """Another seed gives the same pairs in another order."""
        if kind != "finding":
            return
        numbers = list(range(len(self._texts)))
        random.Random(seed).shuffle(numbers)
        for number in numbers:
            if number not in self._mined:
                self._mined[number] = self._of_document(number)
            if (pair := self._mined[number]) is not None:
                yield pair

    def _of_document(self, number: int) -> VignettePair | None:
        n_tokens = min(self._rule.context_tokens, self._host.context_length)
        opening = opening_of(self._host.tokenizer, self._texts[number], n_tokens=n_tokens)
        if opening is None:
            return None
        turns = self._best_first(turns_of(self._host, opening, self._frames, self._rule))
        pairs = (self._pair(f"document-{number}", opening, turn) for turn in turns)
        return next((pair for pair in pairs if pair is not None), None)

    def _best_first(self, turns: Sequence[Turn]) -> list[Turn]:
        """Those with most answers that say something, and of these the ones that move most."""

        def rank(turn: Turn) -> tuple[int, float]:
            words = (self._word(turn.answer), self._word(turn.changed_answer))
            return sum(word is not None and is_content_word(word) for word in words), turn.move

        return sorted(turns, key=rank, reverse=True)

    def _pair(self, template: str, opening: Opening, turn: Turn) -> VignettePair | None:
        """The pair of a turn; None where its texts would not lead back to its tokens."""
        both = (opening, turn.swap.changed)
        prompt, changed_prompt = (each.text[: each.ends[turn.end]] for each in both)
        answer, changed_answer = self._word(turn.answer), self._word(turn.changed_answer)
        if answer is None or changed_answer is None or prompt[-1].isspace():
            return None
        for text, each in zip((prompt, changed_prompt), both, strict=True):
            if prompt_ids(self._host.tokenizer, text) != each.ids[: turn.end + 1].tolist():
                return None
        word, substitute = turn.swap.word, turn.swap.substitute
        changed_from, changed_to = f"word:{word.word}", f"word:{substitute}"
        pair = VignettePair(
            kind="finding",
            template=template,
            prompt=prompt,
            changed_prompt=changed_prompt,
            answer=answer,
            changed_answer=changed_answer,
            changed_from=changed_from,
            changed_to=changed_to,
            spans=(TextSpan(word.start, word.end, changed_from),),
            changed_spans=(TextSpan(word.start, word.start + len(substitute), changed_to),),
            decisive=(changed_from,),
            question="next word",
        )
        return pair if misalignment(self._host.tokenizer, pair) is None else None

    def _word(self, token: int) -> str | None:
        """The word, or its beginning, that a token writes after a space; None where it writes no such."""
        if token not in self._words:
            text = self._host.tokenizer.decode([token]).strip()
            is_word = text.isalpha() and continuation_ids(self._host.tokenizer, text) == [token]
            self._words[token] = text if is_word else None
        return self._words[token]
