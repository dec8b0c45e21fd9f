"""Cases in which a diagnosis is to be put in the place of the right one, and where the host stands at their end."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from experiments.clinic.answering import BATCH_ROWS, answers
from experiments.clinic.case_sampling import paired_cases
from experiments.clinic.knowledge import DISEASES
from experiments.clinic.vignettes import TestCase
from sae.host.host import HostModel
from sae.host.prompts import single_token
from sae.host.sites import Site

__all__ = ["DIAGNOSES", "AnsweredCases", "answered_cases", "diagnosis_ids", "last_activations"]

DIAGNOSES = tuple(DISEASES)


@dataclass(frozen=True, eq=False)
class AnsweredCases:
    """Vignettes that the host answers right.

    Attributes:
        cases: The vignettes.
        prompts: Their tokens, up to where the diagnosis is due.
        answers: The diagnosis of each, as its place in `DIAGNOSES`.
    """

    cases: tuple[TestCase, ...]
    prompts: tuple[Int[Tensor, " _"], ...]
    answers: Int[Tensor, " cases"]


def diagnosis_ids(host: HostModel) -> Int[Tensor, " diagnoses"]:
    """The token of each of `DIAGNOSES`."""
    return torch.tensor([single_token(host.tokenizer, name) for name in DIAGNOSES])


def answered_cases(host: HostModel, n: int, *, seed: int, split: str) -> AnsweredCases:
    """The first `n` cases of a stream that the host answers right.

    Args:
        host: The model.
        n: How many.
        seed: Of the stream.
        split: Whose phrasings: `train`, `validation` or `test`.
    """
    stream = paired_cases(host.tokenizer, seed=seed, split=split)
    kept: list[TestCase] = []
    while len(kept) < n:
        drawn = [next(stream).test_case for _ in range(BATCH_ROWS)]
        gold = [single_token(host.tokenizer, case.answer) for case in drawn]
        found = answers(host, [case.prompt for case in drawn]).tolist()
        kept += [case for case, right, answer in zip(drawn, gold, found, strict=True) if right == answer]
    cases = tuple(kept[:n])
    prompts = tuple(host.tokenise(case.prompt) for case in cases)
    return AnsweredCases(cases, prompts, torch.tensor([DIAGNOSES.index(case.answer) for case in cases]))


def last_activations(
    host: HostModel, prompts: Sequence[Int[Tensor, " _"]], sites: Sequence[Site]
) -> dict[Site, Float[Tensor, "prompts d_model"]]:
    """Activations at the last token of each prompt."""
    found: dict[Site, list[Tensor]] = {site: [] for site in sites}
    for start in range(0, len(prompts), BATCH_ROWS):
        for site, x in host.capture(host.batch(prompts[start : start + BATCH_ROWS]), sites).items():
            found[site].append(x[:, -1].float().cpu())
    return {site: torch.cat(parts) for site, parts in found.items()}
