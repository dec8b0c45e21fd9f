"""What turns a model's next word: a word of a document that gives way to another, and later places where it tells.

One pass over the changed document answers for every later place at once.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.runs.passes import in_passes
from experiments.clinical_reasoning.swaps import Opening, Swap, swaps_of
from experiments.clinical_reasoning.word_frames import WordFrames
from sae.host.host import HostModel

__all__ = ["MiningRule", "Turn", "turns_of"]

LOGITS_PER_PASS = 2**24
"""Of all places of all rows of a pass: 64 MB."""


@dataclass(frozen=True)
class MiningRule:
    """Which pairs are taken.

    Attributes:
        context_tokens: How much of a document is read, BOS included, where the model takes as much.
        n_substitutes: Words tried in place of each word at most.
        plausibility: Least probability of a substitute where it stands, in units of that of the document's own word.
        distance: Least tokens from the word's last token to the prompt's last.
        margin: Least logits by which the log-odds of the two answers move.
    """

    context_tokens: int = 96
    n_substitutes: int = 4
    plausibility: float = 0.1
    distance: int = 4
    margin: float = 1.0


@dataclass(frozen=True)
class Turn:
    """A place where the model's next token is another after a swap.

    Attributes:
        swap: Which.
        end: The last token before it.
        answer: The likeliest next token.
        changed_answer: The same after the swap.
        move: Logits by which the log-odds of both move.
    """

    swap: Swap
    end: int
    answer: int
    changed_answer: int
    move: float


def turns_of(host: HostModel, opening: Opening, frames: WordFrames, rule: MiningRule) -> list[Turn]:
    """All that a rule allows in a document's opening."""
    swaps = list(swaps_of(host.tokenizer, opening, frames, n_substitutes=rule.n_substitutes))
    if not swaps:
        return []
    [logits] = _logits(host, [opening.ids])
    answers = logits.argmax(dim=-1)
    tried = []
    for swap in swaps:
        least = math.log(rule.plausibility) + _log_prob(logits, opening.ids, swap.first, swap.last)
        # A word is at most as likely as its first token: most swaps are refused without a pass of their own.
        if _log_prob(logits, swap.changed.ids, swap.first, swap.first) >= least:
            tried.append((swap, least))

    def run(rows: Int[Tensor, " rows"]) -> list[Turn]:
        some = [tried[i] for i in rows.tolist()]
        turns: list[Turn] = []
        for (swap, least), changed in zip(some, _logits(host, [swap.changed.ids for swap, _ in some]), strict=True):
            if _log_prob(changed, swap.changed.ids, swap.first, swap.last) >= least:
                turns += _turns_after(swap, logits, answers, changed, rule)
        return turns

    size = max(1, LOGITS_PER_PASS // logits.numel())
    return [turn for turns in in_passes(len(tried), size, run) for turn in turns]


def _turns_after(
    swap: Swap,
    logits: Float[Tensor, "seq vocab"],
    answers: Int[Tensor, " seq"],
    changed_logits: Float[Tensor, "seq vocab"],
    rule: MiningRule,
) -> Iterator[Turn]:
    begin = swap.last + rule.distance
    places = torch.arange(begin, len(logits), device=logits.device) if begin < len(logits) else answers[:0]
    answer, changed_answer = answers[places], changed_logits[places].argmax(dim=-1)
    log_odds, changed_log_odds = (
        each[places, answer] - each[places, changed_answer] for each in (logits, changed_logits)
    )
    move = log_odds - changed_log_odds
    for i in ((answer != changed_answer) & (move >= rule.margin)).nonzero()[:, 0].tolist():
        yield Turn(swap, int(places[i]), int(answer[i]), int(changed_answer[i]), float(move[i]))


def _log_prob(logits: Float[Tensor, "seq vocab"], ids: Int[Tensor, " seq"], first: int, last: int) -> float:
    """Nats of the tokens from `first` to `last`, given all before them."""
    log_probs = logits[first - 1 : last].log_softmax(dim=-1)
    return float(log_probs.gather(1, ids[first : last + 1, None].to(logits.device)).sum())


def _logits(host: HostModel, rows: Sequence[Int[Tensor, " seq"]]) -> Float[Tensor, "rows seq vocab"]:
    return host.forward(host.batch(rows)).logits.float()
