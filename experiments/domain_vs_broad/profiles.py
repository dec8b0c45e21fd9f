"""The sizes in which the comparison is run."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from experiments.domain_vs_broad.arms import ARMS
from experiments.domain_vs_broad.measures.settings import MeasureSettings
from experiments.real_text.hosts import LARGE, SMALL, train_real_text_hosts
from sae.bundle import find_bundle
from sae.host.loading import resolve_device

__all__ = ["PROFILES", "Profile", "build_hosts", "profile_of"]

CASES = "Research tool, not for care. "
HOSTS = "hosts"
STAGES = (("before", "broad"), ("after", "adapted"))
"""Of the hosts of real text: what they are called here and there."""


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
        measured: Sizes of what is measured of features.
        warning: What a reader must know first.
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
    measured: MeasureSettings = field(default_factory=MeasureSettings)
    warning: str = CASES

    def to_json(self) -> dict[str, Any]:
        """The fields by name, without where hosts and text lie on this machine."""
        fields = {**asdict(self), "hosts": [name for name, _ in self.hosts]}
        if self.data is not None:
            fields |= {name: fields[name].replace(self.data, "DATA") for name in ("domain", "broad")}
        del fields["data"]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def _clinic(work: Path, data: Path | None) -> Profile:
    bundle = find_bundle("clinic")
    if bundle is None:
        raise ValueError("the bundled model 'clinic' is not installed; reinstall domain-circuits")
    return Profile(
        name="clinic",
        hosts=(("before", str(bundle.path / "host-broad")), ("after", str(bundle.host))),
        site="resid_post.2",
        domain="clinic:clinical",
        broad="clinic:broad",
        judged_domain="clinic:clinical:split=test",
        judged_broad="clinic:broad:split=test",
        d_sae=512,
        l0=(4.0, 10.0, 25.0, 64.0),
        n_tokens=300_000,
        harvested=200_000,
        seeds=(0, 1, 2),
        evaluated=30_000,
        context=256,
        warning=CASES + "The host is small and its text is generated from a knowledge base: a check, not the headline.",
    )


def _real_text(work: Path, data: Path | None) -> Profile:
    if data is None:
        raise ValueError("profile 'real-text' needs text, expected --data DIR with broad/ and medical/ in it")
    return Profile(
        name="real-text",
        hosts=tuple((name, str(work / HOSTS / stage / "host")) for name, stage in STAGES),
        site="resid_post.2",
        domain=str(data / "medical"),
        broad=str(data / "broad"),
        d_sae=768,
        l0=(8.0, 16.0, 32.0, 64.0),
        n_tokens=400_000,
        harvested=1_000_000,
        seeds=(0, 1, 2),
        evaluated=40_000,
        context=256,
        data=str(data),
        warning=CASES + "The host has a few million parameters and was trained on tens of megabytes of text.",
    )


PROFILES: dict[str, Callable[[Path, Path | None], Profile]] = {"clinic": _clinic, "real-text": _real_text}


def profile_of(name: str, *, work: Path, seeds: int | None = None, data: Path | None = None) -> Profile:
    """The profile of that name.

    Args:
        name: As in `--profile`.
        work: Where its hosts are built, for profiles that build some.
        seeds: How many, if not the profile's own number.
        data: Where its text lies, for profiles that need it.

    Raises:
        ValueError: There is none, or what it needs is missing.
    """
    if name not in PROFILES:
        raise ValueError(f"profile {name!r} is unknown, expected one of: {', '.join(PROFILES)}")
    profile = PROFILES[name](work, data)
    return profile if seeds is None else replace(profile, seeds=tuple(range(seeds)))


def build_hosts(profile: Profile, work: Path, *, device: str = "auto") -> None:
    """Train the hosts of a profile that brings its own, as far as they are not there; it continues what was cut short.

    Raises:
        ValueError: Its text is missing.
    """
    if profile.name != "real-text" or profile.data is None:
        return
    recipe = LARGE if resolve_device(device).type == "cuda" else SMALL
    train_real_text_hosts(Path(profile.data), work / HOSTS, recipe, device=device)
