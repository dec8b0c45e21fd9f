"""Sites as the rows of a viewer that knows one row a layer, and the numbers that name features across rows.

Row 3 * layer + {0: attention, 1: MLP, 2: residual stream}; a circuit with nodes at `embed` has them in row 0 and all
others one row higher. The viewers draw nothing where row 0 is the only one, so that such a circuit starts at row 1.
"""

from collections.abc import Iterable
from math import isqrt

from sae.host.sites import Site

__all__ = ["cantor_pair", "cantor_unpair", "viewer_rows"]

ROWS_PER_LAYER = 3
ROW_OF_PART = {"attn": 0, "mlp": 1, "resid": 2}


def viewer_rows(sites: Iterable[Site]) -> dict[Site, int]:
    """The row of each site, at least one of which is 1 or more.

    Raises:
        ValueError: There is no site, or two need the same row.
    """
    ordered = sorted(set(sites))
    if not ordered:
        raise ValueError("the circuit has no node, expected at least one to draw; discover with a larger --top-k")
    first = int(ordered[0].layer is None)
    rows = {site: 0 if site.layer is None else first + _row_in_layers(site) for site in ordered}
    _check_apart(rows)
    return rows if max(rows.values()) > 0 else dict.fromkeys(rows, 1)


def cantor_pair(row: int, feature: int) -> int:
    """One number for two, the inverse of `cantor_unpair`.

    >>> cantor_pair(5, 117)
    7620
    """
    return (row + feature) * (row + feature + 1) // 2 + feature


def cantor_unpair(number: int) -> tuple[int, int]:
    """The row and the feature that a number stands for."""
    total = (isqrt(8 * number + 1) - 1) // 2
    feature = number - total * (total + 1) // 2
    return total - feature, feature


def _row_in_layers(site: Site) -> int:
    part = site.kind.split("_")[0]
    return ROWS_PER_LAYER * (site.layer or 0) + ROW_OF_PART[part]


def _check_apart(rows: dict[Site, int]) -> None:
    taken: dict[int, Site] = {}
    for site, row in rows.items():
        if row in taken:
            raise ValueError(
                f"{taken[row]} and {site} both belong into row {row} of the viewer, which keeps one site apart from "
                "another by its row; export circuits of one of them"
            )
        taken[row] = site
