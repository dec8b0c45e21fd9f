"""The experiments that this version ships: name, claim, command, and what runs them."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

__all__ = ["EXPERIMENTS", "Experiment", "find_experiment"]


@dataclass(frozen=True)
class Experiment:
    """One claim and how to test it.

    Attributes:
        name: As in `experiments run NAME`.
        claim: What it is about.
        command: An example that runs it.
        module: For `experiments run`: has `plan`, `run` and `OPTIONS`; None for an experiment with commands of its own.
    """

    name: str
    claim: str
    command: str
    module: str | None = None

    def load(self) -> Any:
        """The module that plans and runs it.

        Raises:
            ValueError: It has commands of its own.
        """
        if self.module is None:
            raise ValueError(f"experiment {self.name!r} is not run by `experiments run`; use `{self.command}`")
        return import_module(self.module)


EXPERIMENTS = (
    Experiment(
        "clinic",
        "a small clinical Llama with known ground truth has concept-level features and faithful circuits",
        "experiments clinic check",
    ),
    Experiment(
        "domain-vs-broad",
        "dictionaries trained on a domain's text are better there than broad ones, all else equal",
        "experiments run domain-vs-broad --profile clinic",
        "experiments.domain_vs_broad.experiment",
    ),
    Experiment(
        "clinical-reasoning",
        "domain features causally mediate clinical answers, and circuits of them name the findings that decide",
        "experiments run clinical-reasoning",
        "experiments.clinical_reasoning.experiment",
    ),
)


def find_experiment(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        ValueError: There is none.
    """
    for experiment in EXPERIMENTS:
        if experiment.name == name:
            return experiment
    raise ValueError(f"there is no experiment {name!r}, expected one of: {', '.join(e.name for e in EXPERIMENTS)}")
