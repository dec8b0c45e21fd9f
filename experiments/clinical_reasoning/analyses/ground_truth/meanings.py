"""What the features of a basis stand for, as far as they are named: one number for each meaning."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Int
from torch import Tensor

from circuits.workbench import Workbench
from sae.host.sites import Site

__all__ = ["CONDITION", "DIAGNOSIS", "FINDING", "UNNAMED", "Meanings", "meaning_of"]

FINDING, DIAGNOSIS, CONDITION = "finding", "diagnosis", "condition"
UNNAMED = -1

_KINDS = {
    **dict.fromkeys(("pos", "neg", "finding", "measure"), FINDING),
    **dict.fromkeys(("latent", "dx"), DIAGNOSIS),
    "mod": CONDITION,
}


def meaning_of(label: str) -> str:
    """The thing that a label names, however it is told: present, denied or measured, said or as yet unsaid.

    >>> meaning_of("neg:fever"), meaning_of("latent:gout"), meaning_of("demo:old")
    ('finding:fever', 'diagnosis:gout', 'demo:old')
    """
    family, _, name = label.partition(":")
    return f"{_KINDS.get(family, family)}:{name}"


@dataclass(frozen=True)
class Meanings:
    """The named features of a basis.

    Attributes:
        names: Of the meanings, by their numbers.
        of_feature: For each site the meaning of each feature; `UNNAMED` where it has no label.
    """

    names: tuple[str, ...]
    of_feature: Mapping[Site, Int[Tensor, " d_sae"]]

    @classmethod
    def of(cls, basis: Workbench) -> "Meanings":
        """Those of the labels that a basis has."""
        found = {
            site: {feature: meaning_of(label.text) for feature, label in basis.labels[site].items()}
            for site in basis.dictionaries
        }
        names = tuple(sorted({name for of_site in found.values() for name in of_site.values()}))
        of_feature = {}
        for site, dictionary in basis.dictionaries.items():
            of_feature[site] = torch.full((dictionary.d_sae,), UNNAMED)
            for feature, name in found[site].items():
                of_feature[site][feature] = names.index(name)
        return cls(names, of_feature)

    @cached_property
    def counts(self) -> Int[Tensor, "sites meanings"]:
        """At each site, in order, how many features have each meaning."""
        named = [ids[ids != UNNAMED] for ids in self.of_feature.values()]
        return torch.stack([torch.bincount(ids, minlength=len(self.names)) for ids in named])

    def number(self, kind: str, name: str) -> int | None:
        """Of a meaning; None where no feature has it."""
        wanted = f"{kind}:{name}"
        return self.names.index(wanted) if wanted in self.names else None

    def is_of(self, kind: str, meaning: Int[Tensor, " nodes"]) -> Tensor:
        """Which nodes have a meaning of this kind."""
        of_kind = torch.tensor([name.startswith(f"{kind}:") for name in self.names] + [False])
        return of_kind[meaning]
