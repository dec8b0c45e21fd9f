"""Pairs as a model is asked them: tokens, answers, what it answers, and which tokens say what differs."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.prompts.behaviour import Answer, Behaviour
from circuits.runs.baselines import contrast_baseline
from circuits.runs.dictionaries import Dictionary
from circuits.runs.passes import in_passes
from circuits.runs.runs import Runs, node_positions
from experiments.clinical_reasoning.vignette_pair import Kind, PairSource, VignettePair
from sae.annotated_text import TextSpan
from sae.host.host import HostModel
from sae.host.prompts import continuation_ids, prompt_offsets
from sae.host.sites import Site

__all__ = ["AskedPair", "ask", "rows_per_pass", "split_pairs", "tokens_of_span"]

TOKENS_PER_PASS = 4096
"""Rows of a pass together; what a processor's caches hold, and a GPU's memory in any case."""


@dataclass(frozen=True)
class AskedPair:
    """A pair and what the model says to it.

    Attributes:
        pair: The texts.
        ids: Token ids of the prompt as the model is fed them.
        changed_ids: Those of the changed prompt; as many.
        target: First token of the prompt's right answer.
        foil: First token of the changed prompt's right answer; where that is the same, the token that the model puts
            highest after the prompt beside it.
        metric: m = logit(target) - logit(foil) after the prompt.
        changed_metric: The same after the changed prompt.
        is_right: Whether the likeliest next token is the right answer's first, of both prompts.
        prompt_is_right: Whether it is after the prompt.
        mention: Positions of the prompt that say what is changed.
        changed_mention: Those of the changed prompt.
    """

    pair: VignettePair
    ids: Int[Tensor, " seq"]
    changed_ids: Int[Tensor, " seq"]
    target: int
    foil: int
    metric: float
    changed_metric: float
    is_right: bool
    prompt_is_right: bool
    mention: Int[Tensor, " tokens"]
    changed_mention: Int[Tensor, " tokens"]

    @property
    def total_effect(self) -> float:
        """m of the changed prompt less m of the prompt; negative where the answer changes."""
        return self.changed_metric - self.metric

    @cached_property
    def differing(self) -> Int[Tensor, " tokens"]:
        """Positions from the first to the last token that is not the same in both; none where all are."""
        return _differing(self.ids, self.changed_ids)

    @property
    def reversed(self) -> "AskedPair":
        """The changed prompt first; m keeps its sign, so that the total effect turns round."""
        return replace(
            self,
            ids=self.changed_ids,
            changed_ids=self.ids,
            metric=self.changed_metric,
            changed_metric=self.metric,
            mention=self.changed_mention,
            changed_mention=self.mention,
        )

    def metric_of(self, logits: Float[Tensor, "*rows vocab"]) -> Float[Tensor, "*rows"]:
        """m of logits after the prompt."""
        return logits[..., self.target].float() - logits[..., self.foil].float()

    def runs(self, host: HostModel, dictionaries: Mapping[Site, Dictionary]) -> Runs:
        """The pair as a circuit's two runs: the prompt is clean, the changed one its baseline."""
        decode = host.tokenizer.decode
        target, foil = (Answer(decode([token]), (token,)) for token in (self.target, self.foil))
        tokens = tuple(decode([token]) for token in self.ids.tolist())
        behaviour = Behaviour(
            self.pair.prompt, self.ids, tokens, target, foil, self.pair.changed_prompt, self.changed_ids
        )
        baseline = contrast_baseline(host, dictionaries, self.changed_ids, node_positions(host, behaviour))
        return Runs.record(host, behaviour, dictionaries, baseline)


def rows_per_pass(rows: Sequence[Int[Tensor, " _"]]) -> int:
    """How many such rows one pass of the model takes."""
    return max(1, TOKENS_PER_PASS // max((len(row) for row in rows), default=1))


def ask(host: HostModel, pairs: Sequence[VignettePair]) -> list[AskedPair]:
    """The answers of a model to pairs, batched.

    Raises:
        ValueError: The two prompts of a pair differ in token length, or an answer has no token.
    """
    rows = [(host.tokenise(pair.prompt), host.tokenise(pair.changed_prompt)) for pair in pairs]
    for pair, (ids, changed) in zip(pairs, rows, strict=True):
        if len(ids) != len(changed):
            raise ValueError(
                f"prompt and changed_prompt have {len(ids)} and {len(changed)} tokens, expected as many; "
                f"reword or drop the pair that begins {pair.prompt[:60]!r}"
            )
    logits = _last_logits(host, [ids for both in rows for ids in both]).unflatten(0, (len(pairs), 2))
    return [_asked(host, *each) for each in zip(pairs, rows, logits, strict=True)]


def split_pairs(
    host: HostModel,
    source: PairSource,
    kinds: Mapping[Kind, tuple[int, int]],
    *,
    seed: int,
    prompt_only: Collection[Kind] = (),
) -> tuple[list[AskedPair], list[AskedPair], dict[str, dict[str, int]]]:
    """Pairs to report and other pairs to choose latents on, of every kind; only those answered right on both sides.

    One stream is drawn from, so no case is on both sides: the first pairs are reported. Where a source holds fewer
    than are wanted, half of them are reported, or more where more than half were asked for, but never more than
    were. A prompt that was drawn before is passed over.

    Args:
        host: The model.
        source: Where pairs come from.
        kinds: For each kind how many pairs are asked to be reported, and how many to choose on.
        seed: Of the source.
        prompt_only: Kinds of which only the prompt must be answered right: whether the change turns the answer is
            what is asked of them.

    Returns:
        The reported pairs, the pairs to choose on, and for each kind how many were `drawn` for the report, `kept`,
        and drawn and kept to choose on (`choice_drawn`, `choice_kept`).
    """
    reported: list[AskedPair] = []
    choice: list[AskedPair] = []
    counts: dict[str, dict[str, int]] = {}
    for kind, (n_reported, n_choice) in kinds.items():
        drawn = _distinct(source.pairs(kind, seed=seed), n_reported + n_choice)
        share = max(n_reported / max(n_reported + n_choice, 1), 0.5)
        first = min(n_reported, round(len(drawn) * share))
        asked = ask(host, drawn)
        is_kept = [each.prompt_is_right if kind in prompt_only else each.is_right for each in asked]
        right = [
            list(compress(part, kept)) for part, kept in ((asked[:first], is_kept), (asked[first:], is_kept[first:]))
        ]
        reported += right[0]
        choice += right[1]
        counts[kind] = {
            "drawn": first,
            "kept": len(right[0]),
            "choice_drawn": len(asked) - first,
            "choice_kept": len(right[1]),
        }
    return reported, choice, counts


def tokens_of_span(host: HostModel, text: str, span: TextSpan) -> Int[Tensor, " tokens"]:
    """Positions of the tokens of a prompt that stand for some of a span's characters."""
    offsets = prompt_offsets(host.tokenizer, text)
    return torch.tensor(
        [i for i, (start, end) in enumerate(offsets) if start < span.end and end > span.start], dtype=torch.long
    )


def _distinct(pairs: Iterable[VignettePair], n: int) -> list[VignettePair]:
    """The first `n` pairs of which no text was met before."""
    found, seen = [], set[str]()
    for pair in pairs if n else ():
        if not {pair.prompt, pair.changed_prompt} & seen:
            found.append(pair)
        seen |= {pair.prompt, pair.changed_prompt}
        if len(found) == n:
            break
    return found


def _last_logits(host: HostModel, rows: Sequence[Int[Tensor, " _"]]) -> Float[Tensor, "rows vocab"]:
    def run(chosen: Int[Tensor, " chosen"]) -> Tensor:
        batch = host.batch([rows[i] for i in chosen.tolist()])
        return host.forward(batch, logits_to_keep=1).logits[:, -1].float().cpu()

    return torch.cat([torch.zeros(0, host.vocab_size), *in_passes(len(rows), rows_per_pass(rows), run)])


def _asked(
    host: HostModel,
    pair: VignettePair,
    rows: tuple[Int[Tensor, " seq"], Int[Tensor, " seq"]],
    logits: Float[Tensor, "2 vocab"],
) -> AskedPair:
    target, changed_target = _first_token(host, pair.answer), _first_token(host, pair.changed_answer)
    foil = changed_target
    if foil == target:
        foil = next(token for token in logits[0].topk(2).indices.tolist() if token != target)
    metric, changed_metric = (logits[:, target] - logits[:, foil]).tolist()
    differing = _differing(*rows)
    answered = logits.argmax(dim=-1).tolist()
    return AskedPair(
        pair,
        *rows,
        target,
        foil,
        metric,
        changed_metric,
        answered == [target, changed_target],
        answered[0] == target,
        _mention(host, pair.prompt, pair.spans, pair.changed_from, differing),
        _mention(host, pair.changed_prompt, pair.changed_spans, pair.changed_to, differing),
    )


def _differing(ids: Int[Tensor, " seq"], changed_ids: Int[Tensor, " seq"]) -> Int[Tensor, " tokens"]:
    places = (ids != changed_ids).nonzero()[:, 0].tolist()
    return torch.arange(places[0], places[-1] + 1) if places else torch.arange(0)


def _mention(
    host: HostModel, text: str, spans: Sequence[TextSpan], concept: str, differing: Int[Tensor, " _"]
) -> Int[Tensor, " tokens"]:
    """Tokens of the spans that say a concept; where none is known to, the tokens that differ."""
    own = [tokens_of_span(host, text, span) for span in spans if span.concept == concept]
    return torch.cat(own).unique() if own else differing


def _first_token(host: HostModel, answer: str) -> int:
    ids = continuation_ids(host.tokenizer, answer) if answer.strip() else []
    if not ids:
        raise ValueError(f"answer {answer!r} has no token, expected a word; correct it")
    return ids[0]
