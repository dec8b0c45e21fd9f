"""A contrast for a lone prompt: the fewest tokens to replace so that the model answers otherwise.

1. The gradient of the metric at the token embeddings says, to first order, what each replacement would do.
2. The most promising ones are run, all in a batch.
3. Of those that turn the answer, the likeliest prompt is the contrast. If there is none, the search goes on from the
   prompts that came closest, with one replacement more.

What may stand in a place is learned from reference prompts: a token that occurs there between the same neighbours, so
that the contrast reads like a prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.prompts.references import ReferencePool
from sae.host.sites import Site

if TYPE_CHECKING:
    from sae.host.host import HostModel

__all__ = ["FoundContrast", "search_contrast"]

EMBED = Site("embed", None)
MOST_REPLACED = 3
TRIED_PER_PROMPT = 96
BEAM = 8


@dataclass(frozen=True, eq=False)
class FoundContrast:
    """A prompt of equal length with another answer.

    Attributes:
        prompt: Its text, which tokenises to `prompt_ids`.
        answer: The model's answer to it, one token.
        replaced: For each position that differs the tokens before and after, as text.
        n_tried: Prompts that were run to find it.
    """

    prompt: str
    prompt_ids: Int[Tensor, " seq"]
    answer: int
    replaced: dict[int, tuple[str, str]]
    n_tried: int

    def to_json(self) -> dict[str, Any]:
        """For the record of a circuit."""
        replaced = [
            {"position": position, "token": old, "replacement": new} for position, (old, new) in self.replaced.items()
        ]
        return {"contrast": self.prompt, "replaced": replaced, "prompts_tried": self.n_tried}


def search_contrast(
    host: "HostModel",
    prompt_ids: Int[Tensor, " seq"],
    pool: ReferencePool,
    *,
    target: int,
    foil: int | None = None,
) -> FoundContrast | None:
    """The smallest replacement of tokens that turns the answer, or None where none of up to three tokens does.

    Args:
        host: The model.
        prompt_ids: The prompt, BOS included.
        pool: Prompts to learn from what may stand where.
        target: The answer to turn away from, one token.
        foil: The answer to turn to; None for any other.
    """
    search = _Search(host, prompt_ids, _Replacements(pool), target, foil)
    beam = [prompt_ids]
    for _ in range(MOST_REPLACED):
        tried = search.neighbours(beam)
        if not len(tried):
            return None
        lead, answers, log_probs = search.run(tried)
        turned = (answers != target if foil is None else answers == foil).nonzero()[:, 0]
        for index in turned[log_probs[turned].argsort(descending=True)].tolist():
            if found := search.found(tried[index], int(answers[index])):
                return found
        beam = [tried[index] for index in lead.argsort()[:BEAM].tolist()]
    return None


class _Replacements:
    """Which tokens stand between which neighbours in the reference prompts."""

    def __init__(self, pool: ReferencePool) -> None:
        ids = pool.token_ids + 1  # 0 is what is before a prompt and after it
        self._base = int(ids.max()) + 1
        padded = torch.nn.functional.pad(ids, (0, 1))
        before, token, after = padded[:, :-2], padded[:, 1:-1], padded[:, 2:]
        # whatever stands between two neighbours lies in one run of the sorted triples
        triples = (before * self._base + after) * self._base + token
        self._triples = triples[(before > 0) & (token > 0)].unique()

    def between(self, before: int, after: int | None, *, instead_of: int) -> list[int]:
        """Tokens seen between two others, but one; `after` is None at the end of a prompt."""
        first = ((before + 1) * self._base + (0 if after is None else after + 1)) * self._base
        low, high = torch.searchsorted(self._triples, torch.tensor([first, first + self._base])).tolist()
        tokens = (self._triples[low:high] - first - 1).tolist()
        return [token for token in tokens if token != instead_of]


class _Search:
    """The prompt, and what has been run so far."""

    def __init__(
        self,
        host: "HostModel",
        prompt_ids: Int[Tensor, " seq"],
        replacements: _Replacements,
        target: int,
        foil: int | None,
    ) -> None:
        self.host, self.prompt_ids, self.replacements = host, prompt_ids, replacements
        self.target, self.foil = target, foil
        self.n_tried = 0
        self._seen: set[tuple[int, ...]] = {tuple(prompt_ids.tolist())}

    def neighbours(self, prompts: Sequence[Int[Tensor, " seq"]]) -> Int[Tensor, "tried seq"]:
        """Prompts with one more token replaced: of each given one those that lower the metric most, to first order."""
        found = [self.prompt_ids.new_zeros(0, len(self.prompt_ids))]
        for ids in prompts:
            places = [
                (position, token)
                for position in range(1, len(ids))
                for token in self.replacements.between(
                    int(ids[position - 1]),
                    int(ids[position + 1]) if position + 1 < len(ids) else None,
                    instead_of=int(ids[position]),
                )
            ]
            if not places:
                continue
            position, token = torch.tensor(places).unbind(dim=1)
            best = self._predicted(ids, position, token).argsort()[:TRIED_PER_PROMPT]
            replaced = ids.repeat(len(best), 1)
            replaced[torch.arange(len(best)), position[best]] = token[best]
            found.append(self._not_seen(replaced))
        return torch.cat(found)

    @torch.no_grad()
    def run(
        self, prompts: Int[Tensor, "tried seq"]
    ) -> tuple[Float[Tensor, " tried"], Int[Tensor, " tried"], Float[Tensor, " tried"]]:
        """Of each prompt the lead of the target over the foil, the answer, and the log-probability of the prompt."""
        self.n_tried += len(prompts)
        parts = [self._run(rows) for rows in prompts.split(256)]
        lead, answers, log_probs = (torch.cat(part) for part in zip(*parts, strict=True))
        return lead, answers, log_probs

    def found(self, ids: Int[Tensor, " seq"], answer: int) -> FoundContrast | None:
        """The contrast, if its text tokenises to these ids."""
        text = self.host.tokenizer.decode(ids, skip_special_tokens=True)
        if not text.strip() or not torch.equal(self.host.tokenise(text), ids):
            return None
        differs = (ids != self.prompt_ids).nonzero()[:, 0].tolist()
        decode = self.host.tokenizer.decode
        replaced = {at: (decode([int(self.prompt_ids[at])]), decode([int(ids[at])])) for at in differs}
        return FoundContrast(text, ids, answer, replaced, self.n_tried)

    def _run(self, rows: Int[Tensor, "tried seq"]) -> tuple[Tensor, Tensor, Tensor]:
        logits = self.host.forward(self.host.batch(list(rows))).logits.float().cpu()
        log_probs = logits[:, :-1].log_softmax(dim=-1).gather(2, rows[:, 1:, None])[..., 0].sum(dim=1)
        return self._lead(logits[:, -1]), logits[:, -1].argmax(dim=-1), log_probs

    def _lead(self, last: Float[Tensor, "rows vocab"]) -> Float[Tensor, " rows"]:
        """Logit of the target over that of the foil, or of the best other answer."""
        if self.foil is not None:
            return last[:, self.target] - last[:, self.foil]
        others = last.clone()
        others[:, self.target] = -torch.inf
        return last[:, self.target] - others.amax(dim=1)

    def _predicted(
        self, ids: Int[Tensor, " seq"], position: Int[Tensor, " places"], token: Int[Tensor, " places"]
    ) -> Float[Tensor, " places"]:
        """First-order change of the lead by each replacement."""
        batch = self.host.batch([ids])
        run = self.host.gradients(batch, [EMBED], lambda logits: self._lead(logits[:, -1].float()), logits_to_keep=1)
        gradient, own = run.gradients[EMBED][0].cpu(), run.activations[EMBED][0].cpu()
        distinct, column = token.unique(return_inverse=True)
        embedded = self.host.capture(self.host.batch([distinct]), [EMBED])[EMBED][0].float().cpu()
        return ((embedded[column] - own[position]) * gradient[position]).sum(dim=-1)

    def _not_seen(self, prompts: Int[Tensor, "rows seq"]) -> Int[Tensor, "new seq"]:
        fresh = []
        for index, row in enumerate(prompts.tolist()):
            if tuple(row) not in self._seen:
                self._seen.add(tuple(row))
                fresh.append(index)
        return prompts[fresh]
