"""The sizes in which the comparison is run, one a file."""

from experiments.domain_vs_broad.profiles.profile import Profile
from experiments.domain_vs_broad.profiles.registry import PROFILES, profile_of

__all__ = ["PROFILES", "Profile", "profile_of"]
