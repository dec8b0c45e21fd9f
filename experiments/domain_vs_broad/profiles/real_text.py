"""Profile `real-text`: a small Llama that is trained here, and a directory of real text."""

from functools import partial
from pathlib import Path

from experiments.domain_vs_broad.profiles.profile import CASES, Profile
from experiments.real_text.hosts import LARGE, SMALL, train_real_text_hosts
from sae.host.loading import resolve_device

__all__ = ["real_text"]

STAGES = (("before", "broad"), ("after", "adapted"))
"""Of the hosts: what they are called here and there."""


def real_text(hosts: Path, data: Path | None) -> Profile:
    """Both hosts are trained in `hosts`, on the text in `data`.

    Raises:
        ValueError: There is no text.
    """
    if data is None:
        raise ValueError("profile 'real-text' needs text, expected --data DIR with broad/ and medical/ in it")
    return Profile(
        name="real-text",
        hosts=tuple((name, str(hosts / stage / "host")) for name, stage in STAGES),
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
        build=partial(_train, data, hosts),
    )


def _train(data: Path, hosts: Path, device: str) -> None:
    recipe = LARGE if resolve_device(device).type == "cuda" else SMALL
    train_real_text_hosts(data, hosts, recipe, device=device)
