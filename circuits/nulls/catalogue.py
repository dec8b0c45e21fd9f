"""All nulls by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from circuits.nulls.case import NullCase, NullResult
from circuits.nulls.dictionaries import random_dictionary, shuffled_decoder, zero_dictionary
from circuits.nulls.hosts import random_foil, reinitialised_host
from circuits.nulls.nodes import matched_features, random_features
from sae.progress import progress

__all__ = ["NULLS", "Null", "chosen_nulls", "run_nulls"]


@dataclass(frozen=True)
class Null:
    """One null.

    Attributes:
        draw: From the case and a number of draws to faithfulness.
        n_draws: By default; fewer where each is scored again.
        rescores: What is done anew in each draw.
        meaning: What it stands for, in a line.
    """

    draw: Callable[[NullCase, int], NullResult]
    n_draws: int
    rescores: str
    meaning: str


NULLS = {
    "random_features": Null(random_features, 20, "nothing", "as many random features among those that differ"),
    "matched_features": Null(
        matched_features, 20, "nothing", "random features of equal activation density and change, decile by decile"
    ),
    "shuffled_decoder": Null(
        shuffled_decoder, 8, "ranking", "strongest features of SAEs whose decoder rows belong to other features"
    ),
    "random_dictionary": Null(random_dictionary, 8, "ranking", "strongest features of random SAEs of equal L0"),
    "zero_dictionary": Null(zero_dictionary, 1, "ranking", "strongest features of SAEs that write nothing"),
    "reinitialised_host": Null(
        reinitialised_host, 3, "runs, ranking and scale", "strongest features of the model with random weights"
    ),
    "random_foil": Null(random_foil, 3, "ranking", "strongest features for the target against a random token"),
}
"""In the order in which they are printed."""


def chosen_nulls(names: str | Sequence[str]) -> list[str]:
    """Names of nulls from `all`, `none`, a comma list or a sequence.

    Raises:
        ValueError: There is no null of a name.
    """
    if names in ("all", "none"):
        return list(NULLS) if names == "all" else []
    wanted = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in NULLS:
            raise ValueError(f"null {name!r} is unknown, expected all, none or of {', '.join(NULLS)}")
    return [name for name in NULLS if name in wanted]


def run_nulls(
    case: NullCase, names: Sequence[str], found: float | None, *, n_draws: int | None = None
) -> dict[str, dict[str, Any]]:
    """Run some nulls.

    Args:
        case: The circuit with its runs.
        names: Of `NULLS`.
        found: Faithfulness of the circuit; None where it is withheld, and with it that of the nulls.
        n_draws: Instead of each null's own number.

    Returns:
        For each null its record: faithfulness of the draws, percentile of the circuit among them, and what it is.
    """
    records = {}
    for name in progress(names, "nulls"):
        null = NULLS[name]
        result = NullResult(reason=case.scale.reason)
        if case.scale.reason is None:
            result = null.draw(case, null.n_draws if n_draws is None else n_draws)
        records[name] = {**result.to_json(found), "rescores": null.rescores, "meaning": null.meaning}
    return records
