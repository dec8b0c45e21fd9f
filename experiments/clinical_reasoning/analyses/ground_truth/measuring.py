"""From cases to the record: the causes, the circuits of every basis and method, and what they recall."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from circuits.workbench import Workbench
from experiments.clinical_reasoning.analyses.ground_truth.bases import DOMAIN, open_bases
from experiments.clinical_reasoning.analyses.ground_truth.causes import CausedCase, diagnosed_cases, treated_cases
from experiments.clinical_reasoning.analyses.ground_truth.contrast import Contrast
from experiments.clinical_reasoning.analyses.ground_truth.meanings import CONDITION, DIAGNOSIS, FINDING, Meanings
from experiments.clinical_reasoning.analyses.ground_truth.pictured_case import pictured_circuit
from experiments.clinical_reasoning.analyses.ground_truth.ranked_nodes import (
    ALL,
    LATE,
    MASK,
    Arm,
    RankedNodes,
    ranked_by,
)
from experiments.clinical_reasoning.analyses.ground_truth.units import (
    BAR_SIZE,
    SIZES,
    ErrorShares,
    Recalls,
    RightShares,
    recalls_of,
)
from experiments.clinical_reasoning.analysis import NothingToAnalyseError
from experiments.clinical_reasoning.subject import Subject
from sae.progress import progress

__all__ = ["DEFAULT", "FAST", "SLOW", "measure"]

FAST = ("attribution_patching", "relp", "integrated_gradients")
SLOW = {"exact": 20, MASK: 10}
"""Methods that take a run a node, or train, and of how many cases their circuits are looked for."""
DEFAULT: Arm = (DOMAIN, "integrated_gradients")
TREATED_SHARE = 2
"""One case that is asked for its drug to so many that are asked for their diagnosis."""


def measure(subject: Subject, *, size: int, seed: int) -> dict[str, Any]:
    """The causes of the model's answers, and which circuits name them.

    Args:
        subject: The model of the synthetic clinic: no other world knows what is a finding.
        size: Cases that are asked for their diagnosis, before exclusions.
        seed: Of the cases and of all that is drawn.

    Raises:
        ValueError: The subject is of no known world.
        NothingToAnalyseError: No case has a cause.
    """
    if not subject.is_clinic:
        raise ValueError(f"{subject.name} lives in no world whose truth is known; use the model of the clinic")
    host = subject.workbench.host
    cases, n_wrong = diagnosed_cases(host, size, seed=seed)
    if not any(case.contrasts for case in cases):
        raise NothingToAnalyseError(f"no finding of {len(cases)} cases causes the model's answer; give a larger size")
    treated, n_wrong_treated = treated_cases(host, max(1, size // TREATED_SHARE), seed=seed)
    bases = open_bases(subject)
    tally = _Tally(bases)
    for index, case in enumerate(progress(cases, "circuits of diagnoses", unit="case")):
        tally.add_diagnosed(index, case)
    for index, case in enumerate(progress(treated, "circuits of drugs", unit="case")):
        tally.add_treated(index, case)
    _add_slow(tally, bases[DOMAIN], cases)
    return {
        "sizes": list(SIZES),
        "bar_size": BAR_SIZE,
        "cases": [case.to_json() for case in cases],
        "treated": [case.to_json() for case in treated],
        "excluded": {"wrong diagnosis": n_wrong, "wrong drug": n_wrong_treated},
        "bases": {name: _named(meanings) for name, meanings in tally.meanings.items()},
        **tally.to_json(),
        "picture": pictured_circuit(subject.workbench, cases),
    }


class _Tally:
    """Collects what circuits recall, by basis, method, question and group of nodes."""

    def __init__(self, bases: Mapping[str, Workbench]) -> None:
        self.bases = bases
        self.meanings = {name: Meanings.of(basis) for name, basis in bases.items()}
        self.recalls: dict[tuple[Arm, str, str], Recalls] = defaultdict(Recalls)
        self.right: dict[Arm, RightShares] = defaultdict(RightShares)
        self.errors: dict[str, ErrorShares] = defaultdict(ErrorShares)
        self.by_cause: list[dict[str, Any]] = []

    def add_diagnosed(self, index: int, case: CausedCase) -> None:
        """Circuits of the contrasts of each cause, and of the one in which everything changes."""
        if case.contrasts:
            self.add_causes(index, case, self.bases, FAST)
        if case.whole is not None and case.causes:
            _, circuits = self._circuits(self.bases, [case.whole], [DEFAULT[1]])
            for arm, ranked in circuits.items():
                self._recall(arm, "whole cause", index, ranked, FINDING, case.causes)
                if case.bystanders:
                    self._recall(arm, "whole bystander", index, ranked, FINDING, case.bystanders)

    def add_causes(self, index: int, case: CausedCase, bases: Mapping[str, Workbench], methods: Sequence[str]) -> None:
        """The union of the circuits of a case's causes, in some bases by some methods."""
        answers, circuits = self._circuits(bases, case.contrasts, methods)
        changed = {name for each in case.contrasts for pair in each.replaced.items() for name in pair}
        for arm, ranked in circuits.items():
            found = self._recall(arm, "cause", index, ranked, FINDING, case.causes)
            self._recall(arm, "diagnosis", index, ranked, DIAGNOSIS, answers)
            right = {FINDING: sorted(changed), DIAGNOSIS: answers}
            self.right[arm].add(index, ranked, self.meanings[arm[0]], right)
            if arm[1] == DEFAULT[1]:
                self.errors[arm[0]].add(index, ranked)
            if arm == DEFAULT:
                self.by_cause += [
                    {
                        "case": index,
                        "name": name,
                        "first": everywhere.first,
                        "first_late": late.first,
                        "nameable": everywhere.is_nameable,
                        "random_differing": [round(null, 5) for null in everywhere.random_differing],
                    }
                    for name, everywhere, late in zip(case.causes, found[ALL], found[LATE], strict=True)
                ]

    def add_treated(self, index: int, case: CausedCase) -> None:
        """The circuit of the condition that changes the drug."""
        if case.contrasts:
            _, circuits = self._circuits(self.bases, case.contrasts, FAST)
            for arm, ranked in circuits.items():
                self._recall(arm, "condition", index, ranked, CONDITION, case.causes)

    def to_json(self) -> dict[str, Any]:
        """What was collected."""
        return {
            "recalls": [
                {"basis": arm[0], "method": arm[1], "question": question, "group": group, **columns.to_json()}
                for (arm, question, group), columns in self.recalls.items()
            ],
            "right": [{"basis": arm[0], "method": arm[1], **columns.to_json()} for arm, columns in self.right.items()],
            "errors": [
                {"basis": name, "site_names": [str(site) for site in self.bases[name].dictionaries], **errors.to_json()}
                for name, errors in self.errors.items()
            ],
            "by_cause": self.by_cause,
        }

    def _circuits(
        self, bases: Mapping[str, Workbench], contrasts: Sequence[Contrast], methods: Sequence[str]
    ) -> tuple[list[str], dict[Arm, list[RankedNodes]]]:
        """The answers that the model gives, and for each arm one ranking a contrast."""
        answers, circuits = set(), defaultdict(list)
        for contrast in contrasts:
            behaviour, ranked = ranked_by(bases, self.meanings, contrast, methods)
            answers |= {behaviour.target.text.strip(), behaviour.foil.text.strip()}
            for arm, nodes in ranked.items():
                circuits[arm].append(nodes)
        return sorted(answers), dict(circuits)

    def _recall(
        self, arm: Arm, question: str, index: int, circuits: Sequence[RankedNodes], kind: str, names: Sequence[str]
    ) -> dict[str, Any]:
        found = recalls_of(circuits, self.meanings[arm[0]], kind, names)
        for group, recalls in found.items():
            self.recalls[arm, question, group].add(index, recalls)
        return found


def _add_slow(tally: _Tally, domain: Workbench, cases: Sequence[CausedCase]) -> None:
    with_cause = [(i, case) for i, case in enumerate(cases) if case.contrasts]
    for method, n_cases in SLOW.items():
        for index, case in progress(with_cause[:n_cases], f"circuits by {method}", unit="case"):
            tally.add_causes(index, case, {DOMAIN: domain}, [method])


def _named(meanings: Meanings) -> dict[str, int]:
    """How many features are named, and how many things of each kind."""
    of_kind = {kind: sum(name.startswith(f"{kind}:") for name in meanings.names) for kind in (FINDING, DIAGNOSIS)}
    return {
        "features": sum(len(ids) for ids in meanings.of_feature.values()),
        "named": int(torch.sum(meanings.counts)),
        **of_kind,
    }
