"""The experiments that this version ships: name, claim, command."""

from dataclasses import dataclass

__all__ = ["EXPERIMENTS", "Experiment"]


@dataclass(frozen=True)
class Experiment:
    """One claim and how to test it."""

    name: str
    claim: str
    command: str


EXPERIMENTS = (
    Experiment(
        "clinic",
        "a small clinical Llama with known ground truth has concept-level features and faithful circuits",
        "experiments clinic check",
    ),
)
