"""Tokens to train on that are held in memory."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from sae.activations.sampling import RowSampler
from sae.activations.statistics import SiteStatistics, site_statistics
from sae.activations.token_draw import SourceState, TokenDraw
from sae.host.sites import Site

__all__ = ["Emphasis", "MemorySource"]

NORMALISATION_TOKENS = 100_000
TOKENS_PER_CHUNK = 8192
FINGERPRINT_ROWS = 64


@dataclass(frozen=True, eq=False)
class Emphasis:
    """How much tokens matter beyond how often they are drawn: the error of a token counts emphasis^2 times.

    Attributes:
        train: Of the training tokens, above 0; 1 is no emphasis.
        held_out: Of the held-out tokens.
    """

    train: Float[Tensor, " tokens"]
    held_out: Float[Tensor, " held_out_tokens"]


class MemorySource:
    """Draws with replacement from activations held in memory.

    Args:
        activations: Training tokens by site, in any floating precision, the same tokens at every site.
        held_out: Held-out tokens by site.
        weights: Relative probability of each token, not negative; None draws uniformly.
        emphasis: Tokens whose error counts more.
        seed: Of the draws.

    Raises:
        ValueError: There is no site or no token, sites differ in tokens or width, activations are not finite, or the
            weights leave nothing to draw.
    """

    def __init__(
        self,
        activations: Mapping[Site, Float[Tensor, "tokens d_model"]],
        held_out: Mapping[Site, Float[Tensor, "held_out_tokens width"]],
        *,
        weights: Float[Tensor, " weights"] | None = None,
        emphasis: Emphasis | None = None,
        seed: int = 0,
    ) -> None:
        if not activations or set(activations) != set(held_out):
            raise ValueError(
                f"training tokens are at {_names(activations)} and held-out tokens at {_names(held_out)}, "
                "expected the same sites and at least one"
            )
        shapes = {tuple(rows.shape) for rows in activations.values()}
        if len(shapes) > 1:
            raise ValueError(f"activations have shapes {sorted(shapes)}, expected the same tokens and width everywhere")
        for site, rows in activations.items():
            _check_held_out(site, held_out[site], d_model=rows.shape[1])
            _check_finite(site, rows)
        self._activations = dict(activations)
        self._held_out = dict(held_out)
        self._emphasis = emphasis
        self._generator = torch.Generator(self._first.device).manual_seed(seed)
        self._sampler = RowSampler(self.n_tokens, weights, generator=self._generator)
        # Drawn as training tokens are, so that statistics know the weights; a generator of its own leaves the state be.
        own = torch.Generator(self._first.device).manual_seed(seed)
        self._sample = RowSampler(self.n_tokens, weights, generator=own).draw(NORMALISATION_TOKENS)
        self._statistics: dict[Site, SiteStatistics] = {}

    @property
    def sites(self) -> tuple[Site, ...]:
        """Where the activations are from, in forward order."""
        return tuple(sorted(self._activations))

    @property
    def d_model(self) -> int:
        """Width of the activations."""
        return self._first.shape[1]

    @property
    def n_tokens(self) -> int:
        """Tokens to draw from."""
        return len(self._first)

    @property
    def _first(self) -> Float[Tensor, "tokens d_model"]:
        return next(iter(self._activations.values()))

    def draw(self, n: int) -> TokenDraw:
        """`n` random tokens, in the order of memory."""
        rows = self._sampler.draw(n)
        activations = {site: stored[rows].float() for site, stored in self._activations.items()}
        return TokenDraw(activations, None if self._emphasis is None else self._emphasis.train[rows])

    def statistics(self, site: Site) -> SiteStatistics:
        """Mean and scale of the tokens as they are drawn.

        Raises:
            ValueError: The activations do not vary.
        """
        if site not in self._statistics:
            chunks = self._sample.split(TOKENS_PER_CHUNK)
            self._statistics[site] = site_statistics(site, [self._activations[site][rows] for rows in chunks])
        return self._statistics[site]

    def held_out(self, site: Site) -> Float[Tensor, "tokens d_model"]:
        """Tokens that are never drawn."""
        return self._held_out[site]

    def held_out_emphasis(self) -> Float[Tensor, " tokens"] | None:
        """Emphasis of the held-out tokens."""
        return None if self._emphasis is None else self._emphasis.held_out

    def state_dict(self) -> SourceState:
        """State of the random numbers, and which tokens they are for."""
        return {"generator": self._generator.get_state(), "fingerprint": self.fingerprint}

    def load_state_dict(self, state: Mapping[str, Tensor | int | str]) -> None:
        """Go on from a state.

        Raises:
            ValueError: It is of other tokens.
        """
        if state["fingerprint"] != self.fingerprint:
            raise ValueError("the checkpoint was trained on other tokens; resume with the same corpus, sites and seed")
        generator = state["generator"]
        assert isinstance(generator, Tensor)
        self._generator.set_state(generator)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over evenly spaced tokens of every site."""
        digest = hashlib.sha256(f"{self.n_tokens}x{self.d_model}".encode())
        for site in self.sites:
            stored = self._activations[site]
            rows = torch.linspace(0, self.n_tokens - 1, FINGERPRINT_ROWS, dtype=torch.float64).long().to(stored.device)
            digest.update(f"{site} {stored.dtype}".encode())
            digest.update(stored[rows].float().cpu().numpy().tobytes())
        return digest.hexdigest()


def _check_held_out(site: Site, rows: Tensor, *, d_model: int) -> None:
    """Said before training: thresholds are set on these tokens when it ends."""
    if len(rows) == 0:
        raise ValueError(f"there is no held-out token at {site} to calibrate thresholds on, expected at least one")
    if rows.shape[1] != d_model:
        raise ValueError(f"held-out tokens at {site} have d_model {rows.shape[1]}, expected {d_model}, the training's")
    _check_finite(site, rows)


def _check_finite(site: Site, rows: Tensor) -> None:
    if not all(bool(chunk.isfinite().all()) for chunk in rows.split(TOKENS_PER_CHUNK)):
        raise ValueError(
            f"activations at {site} are not finite; leave the tokens out that overflow, or harvest in bfloat16 or "
            "float32"
        )


def _names(by_site: Mapping[Site, Tensor]) -> str:
    return ", ".join(map(str, sorted(by_site))) or "no site"
