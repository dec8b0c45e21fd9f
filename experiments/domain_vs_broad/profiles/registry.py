"""The profiles by name."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from experiments.domain_vs_broad.profiles.clinic import clinic
from experiments.domain_vs_broad.profiles.profile import Profile
from experiments.domain_vs_broad.profiles.real_text import real_text

__all__ = ["PROFILES", "profile_of"]

HOSTS = "hosts"

PROFILES: dict[str, Callable[[Path, Path | None], Profile]] = {"clinic": clinic, "real-text": real_text}
"""Each is called with the directory that hosts are built in, and with where text lies."""


def profile_of(name: str, *, work: Path, seeds: int | None = None, data: Path | None = None) -> Profile:
    """The profile of that name.

    Args:
        name: As in `--profile`.
        work: Its hosts are built below, for profiles that build some.
        seeds: How many, if not the profile's own number.
        data: Where its text lies, for profiles that need it.

    Raises:
        ValueError: There is none, or what it needs is missing.
    """
    if name not in PROFILES:
        raise ValueError(f"profile {name!r} is unknown, expected one of: {', '.join(PROFILES)}")
    profile = PROFILES[name](work / HOSTS, data)
    return profile if seeds is None else replace(profile, seeds=tuple(range(seeds)))
