"""How often a host gives the answers that generated documents ask for."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from experiments.clinic.document import Document
from experiments.clinic.host_data import TokenDataset, answer_tokens

__all__ = ["AnswerTest"]

BATCH_DOCUMENTS = 128


class LabelledAnswer(NamedTuple):
    """An answer in a document."""

    tokens: range
    label: str
    """Kinds of the document and of the answer: ``vignette diagnosis``."""


@dataclass(frozen=True)
class AnswerTest:
    """Documents with the places of those answers that the text before does not reveal."""

    dataset: TokenDataset
    answers: tuple[tuple["LabelledAnswer", ...], ...]
    """Of each document."""

    @classmethod
    def from_documents(cls, documents: Sequence[Document], tokenizer: PreTrainedTokenizerFast) -> "AnswerTest":
        """The unrevealed answers of `documents`."""
        encoded = tokenizer([document.text for document in documents], return_offsets_mapping=True)
        answers = map(_unrevealed_answers, documents, encoded["offset_mapping"])
        return cls(TokenDataset.encode(documents, tokenizer), tuple(answers))

    def accuracy(self, model: LlamaForCausalLM) -> dict[str, float]:
        """Share of answers whose every token is the most likely one, given the text before it.

        Returns:
            By label (``vignette diagnosis``), by its second word (``diagnosis``), and for ``all``.
        """
        outcomes: dict[str, list[bool]] = defaultdict(list)
        by_length = self.dataset.lengths.argsort(stable=True)
        for documents in by_length.split(BATCH_DOCUMENTS):
            ids = self.dataset.batch(documents).ids
            answers = [self.answers[document] for document in documents.tolist()]
            for label, is_right in _outcomes(model, ids, answers):
                for key in ("all", label.split()[1], label):
                    outcomes[key].append(is_right)
        return {key: sum(rights) / len(rights) for key, rights in sorted(outcomes.items())}


def _unrevealed_answers(document: Document, characters: Sequence[tuple[int, int]]) -> tuple[LabelledAnswer, ...]:
    """The answers that a reader of the text before them could not copy."""
    answers = zip(answer_tokens(document, characters), document.answer_points, strict=True)
    return tuple(
        LabelledAnswer(tokens, f"{document.kind} {point.kind}") for tokens, point in answers if not point.revealed
    )


@torch.inference_mode()
def _outcomes(
    model: LlamaForCausalLM, ids: Int[Tensor, "batch seq"], answers: Sequence[tuple[LabelledAnswer, ...]]
) -> list[tuple[str, bool]]:
    """Label of each answer in a batch, and whether the model gives it."""
    flat = [answer for of_document in answers for answer in of_document]
    if not flat:
        return []
    rows = torch.tensor([row for row, of_row in enumerate(answers) for answer in of_row for _ in answer.tokens])
    columns = torch.tensor([token for answer in flat for token in answer.tokens])
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
    is_right = model.lm_head(hidden[rows, columns - 1]).argmax(-1) == ids[rows, columns]
    per_answer = is_right.split([len(answer.tokens) for answer in flat])
    return [(answer.label, bool(right.all())) for answer, right in zip(flat, per_answer, strict=True)]
