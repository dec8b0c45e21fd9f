"""What is analysed: a model with its dictionaries, and the pairs that are told to it."""

from dataclasses import dataclass

from circuits.workbench import Workbench
from experiments.clinical_reasoning.vignette_pair import PairSource

__all__ = ["Subject"]


@dataclass(frozen=True)
class Subject:
    """A model under analysis.

    Attributes:
        name: For people.
        workbench: Host, dictionaries of the domain at its `resid_post` sites, labels of their features.
        pairs: Where pairs come from.
        broad: The same host with dictionaries that were trained on broad text, where there are some.
        is_clinic: Whether the host lives in the world of the synthetic clinic, whose truth is known.
    """

    name: str
    workbench: Workbench
    pairs: PairSource
    broad: Workbench | None = None
    is_clinic: bool = False
