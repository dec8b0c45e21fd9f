"""Profiles `real-text` and `real-text-openstax`: a small Llama that is trained here, on a directory of real text."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from experiments.domain_vs_broad.profiles.profile import CASES, Profile
from experiments.real_text.hosts import BROAD, LARGE, MEDICAL, SMALL, text_directories, train_real_text_hosts
from sae.host.loading import resolve_device

__all__ = ["real_text", "real_text_openstax"]

STAGES = (("before", "broad"), ("after", "adapted"))
"""Of the hosts: what they are called here and there."""
BOOKS = "openstax_*.jsonl.gz"
"""Textbooks of one publisher, with the same markup, on either side."""


def real_text(hosts: Path, data: Path | None) -> Profile:
    """Both hosts are trained in `hosts`, on the text in `data`, and dictionaries on all of it.

    Raises:
        ValueError: There is no text.
    """
    if data is None:
        raise ValueError("this profile needs text, expected --data DIR with broad/ and medical/ in it")
    texts = text_directories(data)
    return Profile(
        name="real-text",
        hosts=tuple((name, str(hosts / stage / "host")) for name, stage in STAGES),
        site="resid_post.2",
        domain=texts[MEDICAL],
        broad=texts[BROAD],
        d_sae=768,
        l0=(8.0, 16.0, 32.0, 64.0),
        n_tokens=250_000,
        harvested=600_000,
        seeds=(0, 1, 2),
        evaluated=30_000,
        context=256,
        data=str(data),
        warning=CASES + "The host has a few million parameters and was trained on tens of megabytes of text.",
        build=partial(_train, data, hosts),
    )


def real_text_openstax(hosts: Path, data: Path | None) -> Profile:
    """The same hosts; dictionaries are trained and judged on textbooks alone, so that only the subject differs.

    A book's section is a document, of which the host's context is read: some 170,000 tokens of medicine.

    Raises:
        ValueError: There is no text.
    """
    whole = real_text(hosts, data)
    return replace(
        whole,
        name="real-text-openstax",
        domain=f"{whole.domain}/{BOOKS}",
        broad=f"{whole.broad}/{BOOKS}",
        arms=("domain", "broad", "mix"),
        harvested=150_000,
        evaluated=10_000,
        warning=whole.warning + " Both texts are textbooks of one publisher; the domain has few held-out sections.",
    )


def _train(data: Path, hosts: Path, device: str) -> None:
    recipe = LARGE if resolve_device(device).type == "cuda" else SMALL
    train_real_text_hosts(data, hosts, recipe, device=device)
