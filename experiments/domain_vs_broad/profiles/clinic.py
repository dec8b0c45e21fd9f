"""Profile `clinic`: the bundled model and its generated text."""

from pathlib import Path

from experiments.domain_vs_broad.profiles.profile import CASES, Profile
from sae.bundle import find_bundle

__all__ = ["clinic"]


def clinic(hosts: Path, data: Path | None) -> Profile:
    """Hosts and text come with the project.

    Raises:
        ValueError: They do not.
    """
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
