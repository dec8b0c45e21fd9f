"""The profiles by name."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from experiments.domain_vs_broad.profiles.clinic import clinic
from experiments.domain_vs_broad.profiles.profile import Profile
from experiments.domain_vs_broad.profiles.real_text import real_text, real_text_openstax

__all__ = ["PROFILES", "profile_of"]

HOSTS = "hosts"

PROFILES: dict[str, Callable[[Path, Path | None], Profile]] = {
    "clinic": clinic,
    "real-text": real_text,
    "real-text-openstax": real_text_openstax,
}
"""Each is called with the directory that hosts are built in, and with where text lies."""


def profile_of(
    name: str, *, work: Path, seeds: int | None = None, data: Path | None = None, hosts: Path | None = None
) -> Profile:
    """The profile of that name.

    Args:
        name: As in `--profile`.
        work: Its hosts are built below, for profiles that build some.
        seeds: How many, if not the profile's own number.
        data: Where its text lies, for profiles that need it.
        hosts: Where another run built the hosts, which are then taken as they are; None builds those that are missing.

    Raises:
        ValueError: There is none, or what it needs is missing.
    """
    if name not in PROFILES:
        raise ValueError(f"profile {name!r} is unknown, expected one of: {', '.join(PROFILES)}")
    profile = PROFILES[name](hosts or work / HOSTS, data)
    if hosts is not None:
        profile = _with_built_hosts(profile, hosts)
    return profile if seeds is None else replace(profile, seeds=tuple(range(seeds)))


def _with_built_hosts(profile: Profile, hosts: Path) -> Profile:
    """The profile once it is known that there is nothing to build."""
    if profile.build is None:
        raise ValueError(f"profile {profile.name!r} builds no hosts; leave out --hosts")
    for name, location in profile.hosts:
        if hosts in Path(location).parents and not Path(location).is_dir():
            raise ValueError(
                f"hosts {str(hosts)!r} has no finished host {name!r}, expected {location}; wait for the run that "
                "builds it, or leave out --hosts"
            )
    return replace(profile, build=None)
