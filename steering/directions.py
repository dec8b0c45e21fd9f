"""What a model can be steered along: a feature of an SAE, or any other direction at a site."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sae.host.sites import Site

__all__ = ["Direction", "Feature", "Target", "difference_of_means", "random_direction", "target_from_json"]

_FEATURE = re.compile(r"(?P<site>[^/:@\s]+)/(?P<index>\d{1,9})", re.ASCII)


@dataclass(frozen=True)
class Feature:
    """A feature of the SAE, or of the transcoder, that writes a site. It is moved along its decoder row."""

    site: Site
    index: int

    def __post_init__(self) -> None:
        if self.index < 0:
            raise ValueError(f"feature {self.index} at {self.site} does not exist, expected an index from 0")

    @classmethod
    def parse(cls, text: str) -> "Feature":
        """Read `SITE/FEATURE`.

        Raises:
            ValueError: The text is malformed or names no site.
        """
        match = _FEATURE.fullmatch(text)
        if match is None:
            raise ValueError(f"feature {text!r} is malformed, expected SITE/FEATURE, for example 'resid_post.2/117'")
        return cls(Site.parse(match["site"]), int(match["index"]))

    @property
    def name(self) -> str:
        """`SITE/FEATURE`."""
        return f"{self.site}/{self.index}"

    def to_json(self) -> dict[str, Any]:
        """The site and the index."""
        return {"site": str(self.site), "feature": self.index}


@dataclass(frozen=True)
class Direction:
    """A direction that is no feature, such as a difference of means, a probe or the null of either.

    Attributes:
        site: Where it lies; of width d_model.
        label: What it is, for people.
        vector: What a raw strength of 1 adds; its length is kept.
    """

    site: Site
    label: str
    vector: tuple[float, ...]

    def __post_init__(self) -> None:
        length = math.hypot(*self.vector)
        if not 0 < length < math.inf:
            raise ValueError(f"direction {self.name} has the length {length}, expected a finite one above 0")

    @property
    def name(self) -> str:
        """`SITE/label`."""
        return f"{self.site}/{self.label}"

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return {"site": str(self.site), "direction": self.label, "vector": list(self.vector)}


Target = Feature | Direction


def target_from_json(record: Mapping[str, Any]) -> Target:
    """What `to_json` of a feature or of a direction wrote.

    Raises:
        ValueError: It is neither.
    """
    try:
        site = Site.parse(record["site"])
        if "feature" in record:
            return Feature(site, _integer(record["feature"]))
        return Direction(site, str(record["direction"]), tuple(float(value) for value in record["vector"]))
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{dict(record)} is no target of an edit ({error!r}), expected site and feature, or site, direction, vector"
        ) from None


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"feature is {value!r}, expected an integer")
    return value


def difference_of_means(
    site: Site,
    label: str,
    positive: Float[Tensor, "positive d_model"],
    negative: Float[Tensor, "negative d_model"],
) -> Direction:
    """From the mean of some activations to that of others; a raw strength of 1 is the shift that was seen."""
    shift = positive.double().mean(0) - negative.double().mean(0)
    return Direction(site, label, tuple(shift.tolist()))


def random_direction(site: Site, d_model: int, *, seed: int = 0, length: float = 1.0) -> Direction:
    """A direction drawn uniformly, of a given length: the null of every other direction."""
    drawn = torch.randn(d_model, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Direction(site, f"random (seed {seed})", tuple((drawn * (length / drawn.norm())).tolist()))
