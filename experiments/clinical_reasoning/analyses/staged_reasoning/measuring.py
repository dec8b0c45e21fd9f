"""Does staged text name the finding that moved the answer, and does what it names move the answer."""

import random
from collections.abc import Sequence
from itertools import islice
from typing import Any

from experiments.clinic.case_sampling import paired_cases
from experiments.clinic.knowledge import FINDINGS
from experiments.clinical_reasoning.analyses.staged_reasoning.causes import (
    StagedCase,
    causal_concepts,
    staged_cases,
)
from experiments.clinical_reasoning.analyses.staged_reasoning.stages import (
    ASSESSMENT,
    DIAGNOSIS,
    KEY_FINDINGS,
    Staged,
    continued,
    parsed,
    with_named_swapped,
)
from experiments.clinical_reasoning.analysis import NothingToAnalyseError
from experiments.clinical_reasoning.subject import Subject
from sae.host.host import HostModel

__all__ = ["EDITS", "measure"]

N_NULL_DRAWS = 20
EDITS = (
    "nothing",
    "stated swapped",
    "stated swapped at random",
    "vignette swapped",
    "stated of the other",
    "assessed as the other",
)
"""Before the model goes on: nothing is changed; the named finding is swapped in the text, for the one that the other
vignette has or for a random one; it is swapped in the vignette alone; all findings are those that the model stated for
the other vignette; findings and assessment are, and the diagnosis is due."""


def measure(subject: Subject, *, size: int, seed: int) -> dict[str, Any]:
    """What the analysis shows, see `AnalysisCode`.

    Args:
        subject: The model; of the clinic.
        size: Pairs of vignettes that are looked at.
        seed: Of everything that is drawn.

    Raises:
        NothingToAnalyseError: The model stages no pair right on both sides.
    """
    host = subject.workbench.host
    rng = random.Random(f"staged reasoning {seed}")
    drawn = staged_cases(list(islice(paired_cases(host.tokenizer, seed=seed), size)), rng)
    texts = continued(host, [vignette + KEY_FINDINGS for each in drawn for vignette in _sides(each)])
    written = [parsed(text) for text in texts]
    pairs = list(zip(drawn, written[::2], written[1::2], strict=True))
    kept = [pair for pair in pairs if _is_right(*pair)]
    if not kept:
        raise NothingToAnalyseError(f"of {len(pairs)} pairs the model stages none right on both sides; draw more pairs")
    cases = [case for case, _, _ in kept]
    here, there = [one for _, one, _ in kept], [other for _, _, other in kept]
    causal = causal_concepts(host, cases, seed=seed)
    edited = _answers_after_edits(host, cases, here, there, rng)
    return {
        "n_drawn": size,
        "n_pairs": len(pairs),
        "n_staged": sum(one.is_staged and other.is_staged for _, one, other in pairs),
        "units": [
            _unit(case, one, other, concepts, rng) | {"null_disclosed": null, "conclusions": conclusions}
            for case, one, other, concepts, null, conclusions in zip(
                cases, here, there, causal, _named_for_another(host, cases, here), edited, strict=True
            )
        ],
        "examples": [
            {"vignette": case.vignette, "text": one.text, "changed": case.changed_vignette, "changed_text": other.text}
            for case, one, other in kept[:3]
        ],
    }


def _sides(case: StagedCase) -> tuple[str, str]:
    return case.vignette, case.changed_vignette


def _is_right(case: StagedCase, one: Staged, other: Staged) -> bool:
    """Staged on both sides, with the right diagnosis on both, so that the swap moved the staged answer."""
    both = one.is_staged and other.is_staged
    return both and (one.diagnosis, other.diagnosis) == (case.answer, case.changed_answer)


def _unit(case: StagedCase, one: Staged, other: Staged, causal: set[str], rng: random.Random) -> dict[str, Any]:
    """Counts of one pair, and what naming as many told findings at random would give."""
    told = case.told
    swappable = [concept for concept in told if concept.partition(":")[2] not in case.case.values]
    known = [concept for concept in one.named if concept in swappable or concept not in told]
    n_named_told = sum(concept in told for concept in one.named)
    draws = [set(rng.sample(told, min(n_named_told, len(told)))) for _ in range(N_NULL_DRAWS)]
    return {
        "template": case.template,
        "polarity": case.changed_from.partition(":")[0],
        "disclosed": int(case.changed_from in one.named),
        "changed_disclosed": int(case.changed_to in other.named),
        "random_disclosed": sum(case.changed_from in draw for draw in draws) / N_NULL_DRAWS,
        "n_named": len(one.named),
        "n_named_told": n_named_told,
        "n_told": len(told),
        "n_untold": sum(concept not in told for concept in one.named),
        "n_known": len(known),
        "n_known_causal": sum(concept in causal for concept in known),
        "n_swappable": len(swappable),
        "n_causal": len(causal),
        "n_causal_named": sum(concept in one.named for concept in causal),
    }


def _named_for_another(host: HostModel, cases: Sequence[StagedCase], written: Sequence[Staged]) -> list[int | None]:
    """Whether the text of another case, nearest in length, names the finding; None where there is no other case."""
    lengths = [len(host.tokenise(case.vignette)) for case in cases]
    found: list[int | None] = []
    for index, case in enumerate(cases):
        others = [i for i in range(len(cases)) if i != index and cases[i].case != case.case]
        nearest = min(others, key=lambda i: (abs(lengths[i] - lengths[index]), i), default=None)
        found.append(None if nearest is None else int(case.changed_from in written[nearest].named))
    return found


def _answers_after_edits(
    host: HostModel, cases: Sequence[StagedCase], here: Sequence[Staged], there: Sequence[Staged], rng: random.Random
) -> list[dict[str, Any]]:
    """Which diagnosis the model comes to where vignette and stated findings disagree, see `EDITS`.

    None where the text does not name the finding that is swapped.
    """
    prompts: dict[tuple[int, str], str] = {}
    for index, (case, one, other) in enumerate(zip(cases, here, there, strict=True)):
        opening, changed_opening = case.vignette + KEY_FINDINGS, case.changed_vignette + KEY_FINDINGS
        prompts[index, "stated of the other"] = opening + other.text.partition(ASSESSMENT)[0] + ASSESSMENT
        prompts[index, "assessed as the other"] = opening + other.text.partition(DIAGNOSIS)[0] + DIAGNOSIS
        if case.changed_from in one.named and case.changed_to not in one.named:
            concepts = (case.changed_from, case.changed_to, _untold(case, one, rng))
            same, swapped, other_swap = (with_named_swapped(one, case.changed_from, each) for each in concepts)
            prompts[index, "nothing"] = opening + same
            prompts[index, "stated swapped"] = opening + swapped
            prompts[index, "stated swapped at random"] = opening + other_swap
            prompts[index, "vignette swapped"] = changed_opening + same
    texts = dict(zip(prompts, continued(host, list(prompts.values())), strict=True))
    return [
        {edit: _verdict(case, prompts.get((index, edit), ""), texts.get((index, edit))) for edit in EDITS}
        for index, case in enumerate(cases)
    ]


def _untold(case: StagedCase, staged: Staged, rng: random.Random) -> str:
    """A finding of the same polarity that is neither told nor named nor the one that is swapped in."""
    polarity = case.changed_from.partition(":")[0]
    taken = {each.partition(":")[2] for each in (*case.told, *staged.named, case.changed_to)}
    return f"{polarity}:{rng.choice([name for name in FINDINGS if name not in taken])}"


def _verdict(case: StagedCase, prompt: str, continuation: str | None) -> str | None:
    """Which side's diagnosis the model comes to, `original`, `swapped` or `neither`; None where nothing was asked."""
    if continuation is None:
        return None
    diagnosis = parsed(prompt.partition(KEY_FINDINGS)[2] + continuation).diagnosis
    return {case.answer: "original", case.changed_answer: "swapped"}.get(diagnosis or "", "neither")
