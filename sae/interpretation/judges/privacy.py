"""Restricted text is shown to judges on this machine only."""

import ipaddress
from urllib.parse import urlsplit

from sae.restricted_text import restriction

__all__ = ["check_privacy", "is_on_this_machine"]


def check_privacy(judge: str, corpus: str) -> None:
    """Refuse a judge that would take restricted text off the machine.

    Args:
        judge: Its SPEC.
        corpus: SPEC of the text that it is to see.

    Raises:
        ValueError: The corpus is restricted and the judge is behind an address of another machine.
    """
    mark = restriction(corpus)
    if mark is not None and judge.startswith("openai:") and not is_on_this_machine(judge.rpartition("@")[2]):
        raise ValueError(
            f"corpus {corpus!r} is restricted ({mark}), but judge {judge!r} would take its text off this machine, "
            "expected a local judge: hf:NAME, or openai:MODEL@http://localhost:PORT/v1"
        )


def is_on_this_machine(address: str) -> bool:
    """Whether an address leads back to this machine; names other than `localhost` are not looked up."""
    try:
        host = urlsplit(address).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
