"""What steering changes besides its target: how far next-token distributions, their losses and other features move.

Everything is per token and from logits of two runs over the same tokens, the plain one and the steered one. Divergences
are KL(steered || plain), in nats: how surprised the plain model would be by what the steered one says.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int, Int64
from torch import Tensor

__all__ = ["SideEffects", "divergence", "divergence_of_others", "features_moved", "side_effects"]


@dataclass(frozen=True, eq=False)
class SideEffects:
    """Of each predicted token.

    Attributes:
        divergence: KL(steered || plain), in nats.
        delta_ce: Cross-entropy of the token that follows, steered less plain, in nats; below 0 where it is likelier.
        agrees: Whether both runs have the same likeliest token.
    """

    divergence: Float64[Tensor, "*tokens"]
    delta_ce: Float64[Tensor, "*tokens"]
    agrees: Bool[Tensor, "*tokens"]


def side_effects(
    steered: Float[Tensor, "*tokens vocab"], plain: Float[Tensor, "*tokens vocab"], next_ids: Int[Tensor, "*tokens"]
) -> SideEffects:
    """Compare two runs.

    Args:
        steered: Logits of the steered run.
        plain: Logits of the plain run.
        next_ids: The token that follows each.
    """
    before, after = plain.double().log_softmax(-1), steered.double().log_softmax(-1)
    following = next_ids.to(plain.device)[..., None]
    delta_ce = before.gather(-1, following)[..., 0] - after.gather(-1, following)[..., 0]
    return SideEffects(_divergence(after, before), delta_ce, after.argmax(-1) == before.argmax(-1))


def divergence(
    steered: Float[Tensor, "*tokens vocab"], plain: Float[Tensor, "*tokens vocab"]
) -> Float64[Tensor, "*tokens"]:
    """KL(steered || plain) of each token, in nats, at least 0; 0 where the logits are equal."""
    return _divergence(steered.double().log_softmax(-1), plain.double().log_softmax(-1))


def divergence_of_others(
    steered: Float[Tensor, "prompts vocab"],
    plain: Float[Tensor, "prompts vocab"],
    without: Int[Tensor, "prompts left_out"],
    *,
    among: Int[Tensor, " answers"] | None = None,
) -> Float64[Tensor, " prompts"]:
    """KL(steered || plain) over the other answers: what changes besides that the target takes the answer's place.

    Args:
        steered: Logits where the answer is due.
        plain: Logits of the plain run there.
        without: For each prompt the tokens that are left out, its target and the answer it would have had; both
            distributions are renormalised.
        among: The tokens that are answers; all by default.

    Raises:
        ValueError: No answer is left.
    """
    is_other = torch.zeros(plain.shape, dtype=torch.bool, device=plain.device)
    is_other[:, slice(None) if among is None else among.to(plain.device)] = True
    is_other.scatter_(1, without.to(plain.device), False)
    if not is_other.any(1).all():
        raise ValueError(
            f"no answer is left beside those of {without.shape[1]} tokens that are left out; name more in `among`"
        )
    lowest = -torch.inf
    after, before = (logits.double().masked_fill(~is_other, lowest).log_softmax(-1) for logits in (steered, plain))
    return _divergence(after, before)


def features_moved(
    steered: Float[Tensor, "*tokens d_sae"],
    plain: Float[Tensor, "*tokens d_sae"],
    deviations: Float[Tensor, " d_sae"],
    *,
    besides: int | None = None,
) -> Int64[Tensor, "*tokens"]:
    """How many features of each token are off by more than one standard deviation of their own.

    Args:
        steered: Activations of the steered run.
        plain: Activations of the plain run.
        deviations: Of each feature's activation on reference text, zeros included; 0 for a feature that is never active
            there, which counts as soon as it moves.
        besides: A feature that does not count, the one that is steered.
    """
    moved = (steered.double() - plain.double()).abs() > deviations.double().to(plain.device)
    if besides is not None:
        moved[..., besides] = False
    return moved.sum(-1)


def _divergence(
    after: Float64[Tensor, "*tokens vocab"], before: Float64[Tensor, "*tokens vocab"]
) -> Float64[Tensor, "*tokens"]:
    """From log-probabilities; what has none in the steered run adds nothing."""
    terms = torch.where(after == -torch.inf, 0.0, after.exp() * (after - before))
    return terms.sum(-1).clamp(min=0.0)
