"""What in a case causes the model's answer: the findings whose single swaps change it.

A swap takes one finding away and brings another. Where it changes the answer, that may be due to what it brought; so a
finding is called a cause where at least half of its swaps, drawn from all that fit, change the answer. The model is
asked, not the world: whether the two agree is measured beside.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from experiments.clinic.answering import answers
from experiments.clinic.cases import decisive, sample_case
from experiments.clinic.phrasing import sample_phrasing
from experiments.clinical_reasoning.analyses.ground_truth.changed_cases import (
    WordedCase,
    condition_swaps,
    single_swaps,
    whole_swaps,
)
from experiments.clinical_reasoning.analyses.ground_truth.contrast import Contrast
from experiments.clinical_reasoning.clinic_pairs import templates
from sae.host.host import HostModel
from sae.host.prompts import single_token

__all__ = ["CAUSE_SHARE", "CausedCase", "Mention", "diagnosed_cases", "treated_cases"]

CAUSE_SHARE = 0.5
"""Share of its swaps that must change the answer for a finding to be called a cause."""
MOST_SWAPS = 16
"""Of one finding."""
WHOLE_TRIES = 16


@dataclass(frozen=True)
class Mention:
    """A finding, or a condition, that a prompt tells of.

    Attributes:
        name: Such as `fever`.
        is_present: Whether the patient has it; False where it is denied.
        is_measured: Whether a value tells of it.
        is_decisive: Whether the world's rule needs it for the answer.
        n_swaps: Prompts in which it alone was replaced.
        n_flips: Of these, how many the model answers otherwise.
    """

    name: str
    is_present: bool
    is_measured: bool
    is_decisive: bool
    n_swaps: int
    n_flips: int

    @property
    def is_cause(self) -> bool:
        """Whether most of its swaps change the model's answer."""
        return self.n_swaps > 0 and self.n_flips >= CAUSE_SHARE * self.n_swaps


@dataclass(frozen=True)
class CausedCase:
    """A case that the model answers right, with what causes the answer.

    Attributes:
        template: What all its prompts were rendered from.
        mentions: All that it tells of which could be swapped.
        contrasts: One for each cause, which changes the model's answer.
        whole: One in which all findings are replaced and the model's answer is another; None where none was found.
    """

    template: str
    mentions: tuple[Mention, ...]
    contrasts: tuple[Contrast, ...]
    whole: Contrast | None = None

    @property
    def causes(self) -> tuple[str, ...]:
        """Names of what causes the answer."""
        return tuple(mention.name for mention in self.mentions if mention.is_cause)

    @property
    def bystanders(self) -> tuple[str, ...]:
        """Names of what was mentioned and does not."""
        return tuple(mention.name for mention in self.mentions if not mention.is_cause)

    def to_json(self) -> dict[str, Any]:
        """What a record keeps of it."""
        return {
            "template": self.template,
            "mentions": [vars(mention) | {"is_cause": mention.is_cause} for mention in self.mentions],
        }


def diagnosed_cases(host: HostModel, n: int, *, seed: int) -> tuple[list[CausedCase], int]:
    """Cases of the clinic, and of how many the model gives another diagnosis than is right: these are left out.

    Args:
        host: The model.
        n: Cases that are looked at.
        seed: Of the cases and of everything that is drawn.
    """
    rng = random.Random(f"causes {seed}")
    cases = list(islice(_worded_cases(rng), n))
    right = _answered_right(host, [(case.prompt(), case.case.diagnosis) for case in cases])
    kept = [case for case, is_right in zip(cases, right, strict=True) if is_right]
    swaps = [single_swaps(host, case, rng, most=MOST_SWAPS) for case in kept]
    wholes = [whole_swaps(host, case, rng, n_tries=WHOLE_TRIES) for case in kept]
    flips = iter(_flips(host, [each for of_case in swaps for group in of_case.values() for each in group]))
    whole_flips = iter(_flips(host, [each for group in wholes for each in group]))
    found = []
    for case, of_case, whole in zip(kept, swaps, wholes, strict=True):
        flipped = {name: [each for each in group if next(flips)] for name, group in of_case.items()}
        mentions = tuple(_mention(case, name, len(of_case[name]), len(flipped[name])) for name in of_case)
        contrasts = tuple(rng.choice(flipped[mention.name]) for mention in mentions if mention.is_cause)
        turned = [each for each in whole if next(whole_flips)]
        found.append(CausedCase(case.template, mentions, contrasts, turned[0] if turned else None))
    return found, n - len(kept)


def treated_cases(host: HostModel, n: int, *, seed: int) -> tuple[list[CausedCase], int]:
    """The same for the drug, of cases whose condition changes it and has a swap; the condition is all that is swapped.

    Args:
        host: The model.
        n: Cases that are looked at.
        seed: Of the cases and of everything that is drawn.
    """
    rng = random.Random(f"conditions {seed}")
    excepted = ((case, condition_swaps(host, case)) for case in _worded_cases(rng) if case.case.exception_decides)
    cases = list(islice(((case, swaps) for case, swaps in excepted if swaps), n))
    right = _answered_right(host, [(case.prompt("treatment"), case.case.drug) for case, _ in cases])
    kept = [each for each, is_right in zip(cases, right, strict=True) if is_right]
    flips = iter(_flips(host, [each for _, swaps in kept for each in swaps]))
    found = []
    for case, swaps in kept:
        flipped = [each for each in swaps if next(flips)]
        mention = Mention(str(case.case.exception), True, False, True, len(swaps), len(flipped))
        contrasts = (rng.choice(flipped),) if mention.is_cause else ()
        found.append(CausedCase(case.template, (mention,), contrasts))
    return found, n - len(kept)


def _worded_cases(rng: random.Random) -> Iterator[WordedCase]:
    """Cases without end, in the templates of the pairs."""
    while True:
        case, surfaces = sample_case(rng), sample_phrasing(rng, "test").surfaces
        yield WordedCase(case, replace(rng.choice(templates()), surfaces=surfaces))


def _mention(worded: WordedCase, name: str, n_swaps: int, n_flips: int) -> Mention:
    case = worded.case
    return Mention(name, name in case.present, name in case.values, name in decisive(case), n_swaps, n_flips)


def _answered_right(host: HostModel, asked: Sequence[tuple[str, str]]) -> list[bool]:
    found = answers(host, [prompt for prompt, _ in asked]).tolist()
    return [own == single_token(host.tokenizer, answer) for own, (_, answer) in zip(found, asked, strict=True)]


def _flips(host: HostModel, contrasts: Sequence[Contrast]) -> list[bool]:
    """Whether the model answers the changed prompt otherwise."""
    prompts = list(dict.fromkeys(text for each in contrasts for text in (each.prompt, each.changed_prompt)))
    own: Mapping[str, int] = dict(zip(prompts, answers(host, prompts).tolist(), strict=True))
    return [own[each.prompt] != own[each.changed_prompt] for each in contrasts]
