"""Cases with the model's own answers to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from experiments.clinical_reasoning.analyses.correction.steered_answers import AnswerDistributions, plain
from experiments.clinical_reasoning.analyses.correction.told_cases import ToldCase
from sae.host.host import HostModel
from sae.host.prompts import single_token

__all__ = ["AnsweredCases"]


@dataclass(frozen=True, eq=False)
class AnsweredCases:
    """What a model made of cases.

    Attributes:
        host: The model.
        told: The cases.
        gold: Token of the right diagnosis of each.
        before: What the model said, unedited.
    """

    host: HostModel
    told: Sequence[ToldCase]
    gold: Int[Tensor, " cases"]
    before: AnswerDistributions

    @classmethod
    def asked(cls, host: HostModel, told: Sequence[ToldCase]) -> "AnsweredCases":
        """The model's answers to cases."""
        gold = torch.tensor([single_token(host.tokenizer, each.case.diagnosis) for each in told])
        return cls(host, told, gold, plain(host, [each.prompt for each in told]))

    @property
    def right(self) -> Bool[Tensor, " cases"]:
        """Which the model answered right."""
        return self.before.answers == self.gold

    def hinted(self, prompts: Sequence[str]) -> AnswerDistributions:
        """The model's answers to other texts about the same cases."""
        return plain(self.host, prompts)

    def counts(self, after: AnswerDistributions) -> tuple[int, int]:
        """How many wrong cases became right, and how many right ones wrong."""
        right = after.answers == self.gold
        return int((right & ~self.right).sum()), int((~right & self.right).sum())

    def outcome(self, after: AnswerDistributions) -> dict[str, Any]:
        """Of each case whether it is right afterwards, and KL(after || before) of the next token in nats."""
        kl = after.kl(self.before)
        return {"right": (after.answers == self.gold).int().tolist(), "kl": [round(x, 5) for x in kl.tolist()]}
