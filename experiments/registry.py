"""The experiments that this version ships: name, claim, command, and what runs them."""

from collections.abc import Callable
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
        runner: `module:function` for `experiments run`, called with the options of that command; None for an experiment
            that has commands of its own.
    """

    name: str
    claim: str
    command: str
    runner: str | None = None

    def load(self) -> Callable[..., Any]:
        """The function that runs it.

        Raises:
            ValueError: It has commands of its own.
        """
        if self.runner is None:
            raise ValueError(f"experiment {self.name!r} is not run by `experiments run`; use `{self.command}`")
        module, _, function = self.runner.partition(":")
        found: Callable[..., Any] = getattr(import_module(module), function)
        return found


EXPERIMENTS = (
    Experiment(
        "clinic",
        "a small clinical Llama with known ground truth has concept-level features and faithful circuits",
        "experiments clinic check",
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
