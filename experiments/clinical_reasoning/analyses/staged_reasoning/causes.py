"""Which told findings move a model's own answer: swapped for others of the same polarity, one at a time."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from experiments.clinic.answering import answers
from experiments.clinic.case_sampling import PairedCase
from experiments.clinic.cases import Case
from experiments.clinic.knowledge import FINDINGS, contradictory
from experiments.clinic.phrasing import QUESTIONS, Phrasing
from experiments.clinic.vignettes import ContrastPrompt, render
from sae.host.host import HostModel

__all__ = ["StagedCase", "causal_concepts", "staged_cases"]

N_SWAPS = 4


@dataclass(frozen=True)
class StagedCase:
    """A vignette and the same with one finding swapped, in as many tokens; another diagnosis is right then.

    Attributes:
        case: The facts.
        phrasing: Their words.
        vignette: Without a question.
        changed_vignette: With the swap.
        question: What asks for the diagnosis directly.
        answer: Right.
        changed_answer: Right after the swap.
        changed_from: Concept that is swapped.
        changed_to: What stands in its place.
    """

    case: Case
    phrasing: Phrasing
    vignette: str
    changed_vignette: str
    question: str
    answer: str
    changed_answer: str
    changed_from: str
    changed_to: str

    @property
    def template(self) -> str:
        """What both were rendered from; cases of one template are not independent."""
        phrasing = self.phrasing
        return f"{phrasing.style}.{phrasing.denial}.{phrasing.history}.{phrasing.questions['diagnosis']}"

    @property
    def told(self) -> tuple[str, ...]:
        """Concepts of all findings that the vignette tells."""
        return tuple(f"pos:{finding}" for finding in self.case.present) + tuple(f"neg:{f}" for f in self.case.denied)


def staged_cases(paired: Sequence[PairedCase], rng: random.Random) -> list[StagedCase]:
    """One swap of each case that has any among findings that are told in words."""
    found = []
    for each in paired:
        case = each.test_case
        swaps = [contrast for contrast in each.contrasts if contrast.changed_from != contrast.changed_to]
        if swaps:
            found.append(_staged(case.case, case.phrasing, case.prompt, rng.choice(swaps)))
    return found


def _staged(case: Case, phrasing: Phrasing, prompt: str, contrast: ContrastPrompt) -> StagedCase:
    question = QUESTIONS["diagnosis"][phrasing.questions["diagnosis"]]
    polarity = "pos" if contrast.changed_from in case.present else "neg"
    return StagedCase(
        case,
        phrasing,
        prompt.removesuffix(question),
        contrast.prompt.removesuffix(question),
        question,
        case.diagnosis,
        contrast.answer,
        f"{polarity}:{contrast.changed_from}",
        f"{polarity}:{contrast.changed_to}",
    )


def causal_concepts(host: HostModel, cases: Sequence[StagedCase], *, seed: int) -> list[set[str]]:
    """Of each case the told findings of which one of a few random swaps changes the model's direct answer.

    A finding that is told by a measurement is not swapped, and counts as unknown: it is left out.

    Args:
        host: The model.
        cases: What to look at.
        seed: Of the swaps.
    """
    rng = random.Random(f"swaps {seed}")
    owners: list[tuple[int, str]] = []
    prompts: list[str] = []
    for index, each in enumerate(cases):
        for concept in each.told:
            for swapped in _swapped(each.case, concept, rng):
                owners.append((index, concept))
                prompts.append(render(swapped, each.phrasing).text + each.question)
    plain = answers(host, [each.vignette + each.question for each in cases]).tolist()
    causal: list[set[str]] = [set() for _ in cases]
    for (index, concept), answer in zip(owners, answers(host, prompts).tolist(), strict=True):
        if answer != plain[index]:
            causal[index].add(concept)
    return causal


def _swapped(case: Case, concept: str, rng: random.Random) -> list[Case]:
    finding = concept.partition(":")[2]
    if finding in case.values:
        return []
    others = [name for name, known in FINDINGS.items() if known.seen and name not in (*case.present, *case.denied)]
    found = []
    for new in rng.sample(others, len(others)):
        present, denied = (
            tuple(new if name == finding else name for name in names) for names in (case.present, case.denied)
        )
        if not contradictory(present):
            found.append(replace(case, present=present, denied=denied))
        if len(found) == N_SWAPS:
            break
    return found
