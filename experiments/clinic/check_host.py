"""Does the host reason as the world does: diagnosis, negation, unseen combinations, treatment."""

from itertools import islice
from typing import Any

import torch

from experiments.clinic.answering import answers
from experiments.clinic.case_sampling import paired_cases
from experiments.clinic.knowledge import DISEASES
from experiments.clinic.measurement import Measurement, share
from experiments.clinic.vignettes import TestCase
from sae.host.host import HostModel
from sae.host.prompts import single_token

__all__ = ["check_host"]

SEED = 11


def check_host(host: HostModel, *, n_cases: int) -> tuple[list[Measurement], dict[str, Any]]:
    """Accuracy on test cases with seen and unseen synonyms and withheld combinations.

    The null of every accuracy is the commonest answer.
    """
    measurements = []
    for title, options, bar in (
        ("diagnosis, seen synonyms", {}, 0.97),
        ("diagnosis, withheld combinations", {"combinations": "withheld"}, 0.85),
        ("diagnosis, unseen synonyms", {"synonyms": "unseen"}, None),
    ):
        cases = _cases(host, n_cases, **options)
        right = _diagnosed(host, cases)
        measurements.append(_accuracy(f"host: {title}", right, bar))
        if not options:
            measurements += _by_kind(cases, right) + _treatments(host, cases)
    return measurements, {}


def _cases(host: HostModel, n: int, **options: str) -> list[TestCase]:
    drawn = islice(paired_cases(host.tokenizer, seed=SEED, **options), n)
    return [paired.test_case for paired in drawn]


def _diagnosed(host: HostModel, cases: list[TestCase]) -> torch.Tensor:
    gold = torch.tensor([single_token(host.tokenizer, case.answer) for case in cases])
    return (answers(host, [case.prompt for case in cases]) == gold).float()


def _accuracy(name: str, right: torch.Tensor, bar: float | None) -> Measurement:
    return share(name, right, bar=bar, null=1 / len(DISEASES), null_name="uniform guess")


def _by_kind(cases: list[TestCase], right: torch.Tensor) -> list[Measurement]:
    found = []
    for title, flags, bar in (
        ("where negation decides", [c.case.negation_decides for c in cases], 0.93),
        ("where a measured value decides", [c.case.numeric_decides for c in cases], None),
        ("with a distractor", [c.case.has_distractor for c in cases], None),
    ):
        chosen = torch.tensor(flags)
        if chosen.any():
            found.append(_accuracy(f"host: diagnosis {title}", right[chosen], bar))
    return found


def _treatments(host: HostModel, cases: list[TestCase]) -> list[Measurement]:
    """The drug after the model's own diagnosis; a wrong diagnosis leads to what is wrong for the case."""
    diagnoses = host.tokenizer.batch_decode(answers(host, [case.prompt for case in cases])[:, None])
    prompts = [
        f"{case.prompt} {diagnosis.strip()}.{case.treatment_prompt.removeprefix(case.text)}"
        for case, diagnosis in zip(cases, diagnoses, strict=True)
    ]
    gold = torch.tensor([single_token(host.tokenizer, case.drug) for case in cases])
    right = (answers(host, prompts) == gold).float()
    is_exception = torch.tensor([case.case.exception_decides for case in cases])
    measurements = [_accuracy("host: treatment after its own diagnosis", right, 0.95)]
    if is_exception.any():
        measurements.append(_accuracy("host: treatment where an exception decides", right[is_exception], 0.95))
    return measurements
