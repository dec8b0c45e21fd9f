"""Prompts that a target is wanted at: what the model answers to them, which of them choose and which report."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae.corpus_knowledge import answer_prompts
from sae.host.host import HostModel
from sae.host.prompts import single_token
from sae.host.sites import Site
from steering.dictionaries import Dictionaries
from steering.positions import PromptTokens, read_prompt

__all__ = ["Examples", "TargetPrompts", "answer_examples", "corpus_prompts", "plain_answers", "target_prompts"]

BATCH_ROWS = 64
FEWEST = 4
"""Prompts, since a half of them has to have an interval."""


@dataclass(frozen=True, eq=False)
class TargetPrompts:
    """Prompts that the plain model does not answer with the target.

    Attributes:
        target: The wanted answer.
        target_id: Its token.
        prompts: Each ends where an answer is due.
        answer_ids: What the plain model answers.
        chooses: The half on which strengths are chosen; numbers are reported on the other one.
    """

    target: str
    target_id: int
    prompts: tuple[PromptTokens, ...]
    answer_ids: Int[Tensor, " prompts"]
    chooses: Bool[Tensor, " prompts"]


@dataclass(frozen=True, eq=False)
class Examples:
    """Activations where answers are due, of other prompts.

    Attributes:
        positive: Where the plain model answers with the target.
        negative: Where it answers otherwise.
    """

    positive: Float[Tensor, "positive d_model"]
    negative: Float[Tensor, "negative d_model"]


def target_prompts(host: HostModel, target: str, texts: Iterable[str], *, n_prompts: int) -> TargetPrompts:
    """The first prompts that the plain model does not answer with the target already; every other one chooses.

    Args:
        host: The model.
        target: The wanted answer, one token after a space.
        texts: Prompts; those that are longer than the context are passed over.
        n_prompts: Most prompts to take.

    Raises:
        ValueError: The target is not one token, or there are too few such prompts.
    """
    target_id = single_token(host.tokenizer, target)
    fitting = (text for text in texts if len(host.tokenizer(text)["input_ids"]) < host.context_length)
    found: list[PromptTokens] = []
    answers: list[int] = []
    while len(found) < n_prompts:
        read = [read_prompt(host, text) for text in islice(fitting, BATCH_ROWS)]
        if not read:
            break
        for prompt, answer in zip(read, plain_answers(host, read).tolist(), strict=True):
            if answer != target_id and len(found) < n_prompts:
                found.append(prompt)
                answers.append(answer)
    if len(found) < FEWEST:
        raise ValueError(
            f"there are {len(found)} prompts that the model does not answer with {target!r} anyway, expected at least "
            f"{FEWEST}; give more with --prompts FILE"
        )
    chooses = torch.arange(len(found)) % 2 == 0
    return TargetPrompts(target, target_id, tuple(found), torch.tensor(answers), chooses)


def answer_examples(
    host: HostModel, target_id: int, texts: Iterable[str], sites: Sequence[Site], *, n_prompts: int
) -> dict[Site, Examples]:
    """Activations at the last token of prompts, told apart by what the plain model answers.

    Args:
        host: The model.
        target_id: The target's token.
        texts: Prompts that nothing is reported on.
        sites: Where to read.
        n_prompts: How many to read.
    """
    fitting = (text for text in texts if len(host.tokenizer(text)["input_ids"]) <= host.context_length)
    rows = sorted((host.tokenise(text) for text in islice(fitting, n_prompts)), key=len)
    is_target: list[Tensor] = []
    activations: dict[Site, list[Tensor]] = {site: [] for site in sites}
    for start in range(0, len(rows), BATCH_ROWS):
        run = host.forward(host.batch(rows[start : start + BATCH_ROWS]), capture=tuple(sites), logits_to_keep=1)
        is_target.append((run.logits[:, -1].argmax(-1) == target_id).cpu())
        for site in sites:
            activations[site].append(run.activations[site][:, -1].float().cpu())
    told = torch.cat([torch.zeros(0, dtype=torch.bool), *is_target])
    together = {site: torch.cat([torch.zeros(0, host.d_model), *parts]) for site, parts in activations.items()}
    return {site: Examples(x[told], x[~told]) for site, x in together.items()}


def plain_answers(host: HostModel, prompts: Sequence[PromptTokens]) -> Int[Tensor, " prompts"]:
    """The likeliest next token of each prompt."""
    logits = host.forward(host.batch([prompt.ids for prompt in prompts]), logits_to_keep=1).logits
    return logits[:, -1].argmax(-1).cpu()


def corpus_prompts(dictionaries: Dictionaries, site: Site, *, seed: int, option: str) -> Iterator[str]:
    """Prompts that end where an answer is due, of the corpus that units are measured by at a site, without end.

    Args:
        dictionaries: Of the model.
        site: Whose corpus.
        seed: Of the corpus.
        option: What else gives prompts, for the message.

    Raises:
        ValueError: There is no such corpus, or it does not know where answers are due.
    """
    known = dictionaries.references(site)
    found = iter(()) if isinstance(known, str) else answer_prompts(known.corpus, seed=seed)
    first = next(found, None)
    if first is None:
        where = known if isinstance(known, str) else f"corpus {known.corpus} does not know where answers are due"
        raise ValueError(f"there are no prompts, since {where}; give {option} FILE")
    return chain([first], found)
