"""One size in which the comparison is run."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from experiments.adaptation.settings import AdaptationSettings
from experiments.domain_vs_broad.arms import ARMS, NULL_ARMS
from experiments.domain_vs_broad.host_shape import HostShape
from experiments.domain_vs_broad.measures.settings import MeasureSettings

__all__ = ["CASES", "Profile"]

CASES = "Research tool, not for care. "


@dataclass(frozen=True)
class Profile:
    """One matrix of dictionaries.

    Attributes:
        name: As in `--profile`.
        hosts: Name and directory, or hub id, of each host, the one before the adaptation first.
        site: Where the dictionaries are trained.
        domain: SPEC of the domain's text.
        broad: SPEC of the broad text.
        d_sae: Width of every dictionary.
        l0: Wanted numbers of active features.
        n_tokens: Tokens that a dictionary is trained on.
        harvested: Distinct tokens of each text that are drawn from.
        seeds: Dictionaries of each arm.
        evaluated: Held-out tokens of each text.
        context: Most tokens of a document.
        judged_domain: SPEC of the domain's held-out text, where it is another one than what is trained on.
        judged_broad: The same of the broad text.
        data: Directory that the texts lie in, for those that lie in one.
        arms: Their names.
        nulls: Names of the null arms.
        measured: Sizes of what is measured of features; None measures nothing of them.
        warning: What a reader must know first.
        label: What must stand in the title too.
        dtype: What the hosts run in.
        shape: Of a host, where the plan counts operations.
        adaptation: How the adapted host is made, where the plan counts that too.
        build: Makes the hosts of a profile that brings its own, on a device, as far as they are not there; it continues
            what was cut short.
    """

    name: str
    hosts: tuple[tuple[str, str], ...]
    site: str
    domain: str
    broad: str
    d_sae: int
    l0: tuple[float, ...]
    n_tokens: int
    harvested: int
    seeds: tuple[int, ...]
    evaluated: int
    context: int
    judged_domain: str | None = None
    judged_broad: str | None = None
    data: str | None = None
    arms: tuple[str, ...] = tuple(ARMS)
    nulls: tuple[str, ...] = NULL_ARMS
    measured: MeasureSettings | None = field(default_factory=MeasureSettings)
    warning: str = CASES
    label: str | None = None
    dtype: str = "float32"
    shape: HostShape | None = None
    adaptation: AdaptationSettings | None = None
    build: Callable[[str], None] | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields by name, without where hosts and text lie on this machine."""
        fields = {**asdict(self), "hosts": [name for name, _ in self.hosts]}
        if self.data is not None:
            fields |= {name: fields[name].replace(self.data, "DATA") for name in ("domain", "broad")}
        del fields["data"], fields["build"]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
