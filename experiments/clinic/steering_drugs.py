"""Does the rest of the text go along: which drug the host gives after a diagnosis that it was steered to."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from experiments.clinic.knowledge import DISEASES, treatment
from experiments.clinic.steering_cases import DIAGNOSES, AnsweredCases, diagnosis_ids
from sae.host.prompts import single_token
from sae.host.sites import Site
from steering.directions import Direction
from steering.interventions import Intervention, SteeringSpec
from steering.positions import PromptTokens
from steering.steered_host import SteeredHost

__all__ = ["SteeredDrugs", "drugs_after"]

BATCH_ROWS = 128
SOME_CASES = 24
"""Of each diagnosis: whole steered runs."""


@dataclass(frozen=True, eq=False)
class SteeredDrugs:
    """What whole steered runs say of some cases.

    Attributes:
        is_asked: Of which cases each diagnosis was wanted.
        flips: 1 where it was given.
        fits: 1 where the drug after it is one that the diagnosis is treated with, in some patient.
        is_right: 1 where it is the one for this patient.
        fits_unsteered: 1 where the drug that follows the right diagnosis fits the wanted one too: the null.
    """

    is_asked: Bool[Tensor, "diagnoses cases"]
    flips: Float64[Tensor, "diagnoses cases"]
    fits: Float64[Tensor, "diagnoses cases"]
    is_right: Float64[Tensor, "diagnoses cases"]
    fits_unsteered: Float64[Tensor, "diagnoses cases"]


def drugs_after(
    steered: SteeredHost,
    site: Site,
    changes: Float[Tensor, "diagnoses d_model"],
    cases: AnsweredCases,
    diagnoses: Sequence[int],
    counted: Bool[Tensor, " cases"],
) -> SteeredDrugs:
    """Steer the last token of prompts, let the host say what it then says, and ask for the drug.

    Args:
        steered: The model.
        site: Where the changes are added.
        changes: One a diagnosis.
        cases: The cases.
        diagnoses: As places in `DIAGNOSES`.
        counted: Which cases may be used.
    """
    shape = (len(diagnoses), len(cases.answers))
    asked = torch.zeros(shape, dtype=torch.bool)
    flips, fits, right, unsteered = (torch.zeros(shape, dtype=torch.float64) for _ in range(4))
    all_ids = diagnosis_ids(steered.host)
    for row, diagnosis in enumerate(diagnoses):
        chosen = (counted & (cases.answers != diagnosis)).nonzero()[:SOME_CASES, 0]
        asked[row, chosen] = True
        edit = Intervention(Direction(site, "change", tuple(changes[row].tolist())), "add", 1.0, "raw", "last")
        wanted, spec = DIAGNOSES[diagnosis], SteeringSpec((edit,))
        said = _next_tokens(steered, cases, chosen.tolist(), spec, [""] * len(chosen))
        flips[row, chosen] = (said == all_ids[diagnosis]).double()
        questions = [_question(cases, case) for case in chosen.tolist()]
        after = _next_tokens(steered, cases, chosen.tolist(), spec, [f" {wanted}.{each}" for each in questions])
        own = [f" {cases.cases[case].answer}.{each}" for case, each in zip(chosen.tolist(), questions, strict=True)]
        plain = _next_tokens(steered, cases, chosen.tolist(), SteeringSpec(), own)
        known = torch.tensor(_drugs(steered, wanted))
        fits[row, chosen] = torch.isin(after, known).double()
        unsteered[row, chosen] = torch.isin(plain, known).double()
        exact = [treatment(wanted, cases.cases[case].case.exception) for case in chosen.tolist()]
        right[row, chosen] = (
            after == torch.tensor([single_token(steered.host.tokenizer, drug) for drug in exact])
        ).double()
    return SteeredDrugs(asked, flips, fits, right, unsteered)


def _drugs(steered: SteeredHost, diagnosis: str) -> list[int]:
    disease = DISEASES[diagnosis]
    return [single_token(steered.host.tokenizer, drug) for drug in {disease.drug, *disease.exceptions.values()}]


def _question(cases: AnsweredCases, case: int) -> str:
    return cases.cases[case].treatment_prompt.removeprefix(cases.cases[case].text)


def _next_tokens(
    steered: SteeredHost,
    cases: AnsweredCases,
    chosen: Sequence[int],
    spec: SteeringSpec,
    continuations: Sequence[str],
) -> Int[Tensor, " chosen"]:
    """The likeliest token after each prompt with its continuation; the spec acts where the prompt ends."""
    found = []
    for start in range(0, len(chosen), BATCH_ROWS):
        some = chosen[start : start + BATCH_ROWS]
        prompts = [PromptTokens(cases.cases[case].prompt, cases.prompts[case]) for case in some]
        following = [_tokens(steered, text) for text in continuations[start : start + BATCH_ROWS]]
        logits = steered.forward(prompts, [spec] * len(some), following, logits_to_keep=1).logits[:, -1]
        found.append(logits.argmax(-1).cpu())
    return torch.cat(found)


def _tokens(steered: SteeredHost, text: str) -> Int[Tensor, " n"]:
    ids = steered.host.tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
    return torch.tensor(ids, dtype=torch.long)
