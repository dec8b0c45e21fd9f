"""The most memory that this process has had."""

import resource
import sys

__all__ = ["peak_gigabytes"]


def peak_gigabytes() -> float:
    """In 10^9 bytes, weights that are read from mapped files included; the system counts in bytes or in KiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
