"""What can be changed in a case of the clinic, by kind of pair, with the right answer to either side.

The rule of the clinic (`experiments.clinic.knowledge.decide`) says what is right. A change that it leaves open is none.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from experiments.clinic.cases import (
    AGES,
    NEUTRAL_HISTORY,
    RELATIVES,
    SETTINGS,
    SEXES,
    Case,
    Contrast,
    contrast_cases,
    decisive,
    rules_out,
)
from experiments.clinic.knowledge import DISEASES, EXCEPTIONS, contradictory, decide, withheld
from experiments.clinic.phrasing import Phrasing
from experiments.clinical_reasoning.telling import Telling
from experiments.clinical_reasoning.vignette_pair import Kind

__all__ = ["Change", "changes"]


@dataclass(frozen=True)
class Change:
    """Two tellings that differ in one thing.

    Attributes:
        before: The case as it was drawn.
        after: The same with one thing changed.
        answer: Right before.
        changed_answer: Right after.
        changed_from: Concept that only `before` says.
        changed_to: Concept that only `after` says.
        decisive: Concepts of `before` without which its answer would be open or another.
    """

    before: Telling
    after: Telling
    answer: str
    changed_answer: str
    changed_from: str
    changed_to: str
    decisive: tuple[str, ...]


def changes(kind: Kind, case: Case, phrasing: Phrasing) -> Iterator[Change]:
    """Every change of a kind that a case allows; whether both sides have as many tokens is left open."""
    return _CHANGES[kind](case, phrasing)


def _concept(case: Case, finding: str) -> str:
    return f"{'pos' if finding in case.present else 'neg'}:{finding}"


def _decisive(case: Case) -> tuple[str, ...]:
    return tuple(_concept(case, finding) for finding in decisive(case))


def _of_contrasts(case: Case, phrasing: Phrasing, is_wanted: Callable[[Contrast], bool]) -> Iterator[Change]:
    """Changes of a finding that change the diagnosis, without findings that training never showed together."""
    for contrast in contrast_cases(case):
        changed = contrast.case
        if is_wanted(contrast) and not withheld(changed.present):
            yield Change(
                Telling(case, phrasing),
                Telling(changed, phrasing),
                case.diagnosis,
                changed.diagnosis,
                _concept(case, contrast.changed_from),
                _concept(changed, contrast.changed_to),
                _decisive(case),
            )


def _finding(case: Case, phrasing: Phrasing) -> Iterator[Change]:
    """A finding that the patient has takes the place of another."""
    return _of_contrasts(case, phrasing, lambda c: c.changed_from != c.changed_to and c.changed_from in case.present)


def _denial(case: Case, phrasing: Phrasing) -> Iterator[Change]:
    """A denied finding takes the place of another."""
    return _of_contrasts(case, phrasing, lambda c: c.changed_from != c.changed_to and c.changed_from in case.denied)


def _value(case: Case, phrasing: Phrasing) -> Iterator[Change]:
    """A measured value crosses its threshold."""
    return _of_contrasts(case, phrasing, lambda c: c.changed_from == c.changed_to)


def _negation(case: Case, phrasing: Phrasing) -> Iterator[Change]:
    """The only finding that is denied in words is asserted instead, in its place."""
    told = [finding for finding in case.denied if finding not in case.values]
    if len(told) != 1:
        return
    finding = told[0]
    present = (*case.present, finding)
    diagnosis = decide(present, tuple(f for f in case.denied if f != finding))
    if diagnosis in (None, case.diagnosis) or contradictory(present) or withheld(present):
        return
    assert diagnosis is not None
    before = Telling(case, phrasing)
    after = replace(before, is_asserted=True)
    yield Change(before, after, case.diagnosis, diagnosis, f"neg:{finding}", f"pos:{finding}", _decisive(case))


def _history(case: Case, phrasing: Phrasing) -> Iterator[Change]:
    """A finding of the patient and one of a relative trade places: all words stay, only whose they are changes.

    One finding more or less never leads from one diagnosis to another by a margin of 1: hence two that trade places.
    """
    for relative in RELATIVES:
        for change in _finding(replace(case, family=(relative, "")), phrasing):
            own, relatives = change.changed_from.partition(":")[2], change.changed_to.partition(":")[2]
            before = replace(change.before, relatives_finding=relatives)
            after = replace(change.after, relatives_finding=own)
            yield replace(change, before=before, after=after, changed_to=f"family:{own}")


def _demographic(case: Case, phrasing: Phrasing) -> Iterator[Change]:
    """Another age or sex; no disease of the clinic asks for either, but nobody old and no man is pregnant."""
    if case.exception == "pregnancy":
        return
    for age in AGES:
        yield from _unchanged(case, replace(case, age=age), phrasing, f"demo:{case.age}", f"demo:{age}")
    for sex in SEXES:
        yield from _unchanged(case, replace(case, sex=sex), phrasing, f"demo:{case.sex}", f"demo:{sex}")


def _distractor(case: Case, phrasing: Phrasing) -> Iterator[Change]:
    """Another history that does not matter, another place, or another disease of the relative."""
    if case.neutral_history is not None:
        old = _history_concept(case.neutral_history)
        for item in NEUTRAL_HISTORY:
            yield from _unchanged(case, replace(case, neutral_history=item), phrasing, old, _history_concept(item))
    if case.setting is not None:
        old = f"setting:{case.setting.replace(' ', '_')}"
        for setting in SETTINGS:
            new = f"setting:{setting.replace(' ', '_')}"
            yield from _unchanged(case, replace(case, setting=setting), phrasing, old, new)
    if case.family is not None:
        relative, disease = case.family
        for other in DISEASES:
            if other != case.diagnosis:
                changed = replace(case, family=(relative, other))
                yield from _unchanged(case, changed, phrasing, f"family:{disease}", f"family:{other}")


def _history_concept(item: str) -> str:
    return f"history:{item.replace(' ', '_')}"


def _unchanged(case: Case, changed: Case, phrasing: Phrasing, old: str, new: str) -> Iterator[Change]:
    """A change that must not matter, if it is one."""
    if old != new:
        answer = case.diagnosis
        yield Change(Telling(case, phrasing), Telling(changed, phrasing), answer, answer, old, new, _decisive(case))


def _exception(case: Case, phrasing: Phrasing) -> Iterator[Change]:
    """A condition takes the place of another, or of a history that does not matter, and the drug changes."""
    if case.exception is None:
        return
    changed = [(replace(case, exception=other), f"mod:{other}") for other in EXCEPTIONS if _may_have(case, other)]
    if case.neutral_history is None:
        plain = replace(case, exception=None)
        changed += [(replace(plain, neutral_history=item), _history_concept(item)) for item in NEUTRAL_HISTORY]
    needed = (f"dx:{case.diagnosis}", *((f"mod:{case.exception}",) if case.exception_decides else ()))
    for other_case, new in changed:
        if other_case.drug != case.drug:
            before, after = (Telling(each, phrasing, "treatment") for each in (case, other_case))
            yield Change(before, after, case.drug, other_case.drug, f"mod:{case.exception}", new, needed)


def _may_have(case: Case, exception: str) -> bool:
    if exception == "pregnancy" and (case.sex != "woman" or case.age == "old"):
        return False
    return not rules_out(case.denied, exception)


_CHANGES: dict[Kind, Callable[[Case, Phrasing], Iterator[Change]]] = {
    "finding": _finding,
    "denial": _denial,
    "negation": _negation,
    "history": _history,
    "value": _value,
    "demographic": _demographic,
    "distractor": _distractor,
    "exception": _exception,
}
