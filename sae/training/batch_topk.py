"""One BatchTopK training step: select the active entries, reconstruct from them, and their exact gradients.

Only active entries carry gradient (`sae.kernels.reference.reconstruction_loss_gradients`), so after the
encoder's matrix product everything costs tokens * k rows instead of tokens * d_sae.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import Parameter
from torch.nn.functional import embedding_bag, linear, normalize

__all__ = [
    "ActiveEntries",
    "BatchTopKWeights",
    "StepResult",
    "active_entries",
    "batch_threshold",
    "forward_backward",
]

SMALLEST_THRESHOLD = 1e-3
SUBSAMPLE = 31
# rows gathered at a time; larger pieces fall out of the processor's cache
ENTRIES_PER_PIECE = 2048


@dataclass(frozen=True, eq=False)
class BatchTopKWeights:
    """The trained tensors, in units of normalised activations; decoder rows have unit length."""

    encoder_rows: Float[Parameter, "d_sae d_model"]
    b_enc: Float[Parameter, " d_sae"]
    decoder_rows: Float[Parameter, "d_sae d_model"]
    b_dec: Float[Parameter, " d_model"]

    @classmethod
    def random(cls, d_sae: int, d_model: int, *, generator: torch.Generator) -> "BatchTopKWeights":
        """Random unit decoder rows, the encoder equal to them, zero biases."""
        device = generator.device
        rows = normalize(torch.randn(d_sae, d_model, generator=generator, device=device))
        return cls(
            encoder_rows=Parameter(rows.clone()),
            b_enc=Parameter(torch.zeros(d_sae, device=device)),
            decoder_rows=Parameter(rows),
            b_dec=Parameter(torch.zeros(d_model, device=device)),
        )

    def parameters(self) -> list[Parameter]:
        """What the optimiser moves."""
        return [self.encoder_rows, self.b_enc, self.decoder_rows, self.b_dec]

    @torch.no_grad()
    def normalise_decoder(self) -> None:
        """Scale every decoder row to unit length, in place."""
        self.decoder_rows.copy_(normalize(self.decoder_rows))


@dataclass(frozen=True, eq=False)
class ActiveEntries:
    """Active features of a batch, token by token; `feature_order` sorts the same entries by feature."""

    token_ids: Int64[Tensor, " active"]
    feature_ids: Int64[Tensor, " active"]
    values: Float[Tensor, " active"]
    feature_order: Int64[Tensor, " active"]
    n_tokens: int
    d_sae: int

    def per_token(self, rows: Float[Tensor, "d_sae d_model"]) -> Float[Tensor, "tokens d_model"]:
        """For each token the sum of its features' rows, weighted by the values."""
        return _weighted_sums(rows, self.feature_ids, self.values, _offsets(self.token_ids, self.n_tokens))

    def per_feature(
        self, rows: Float[Tensor, "tokens d_model"], weights: Float[Tensor, " active"]
    ) -> Float[Tensor, "d_sae d_model"]:
        """For each feature the sum of its tokens' rows, weighted by `weights`."""
        order = self.feature_order
        offsets = _offsets(self.feature_ids, self.d_sae)
        return _weighted_sums(rows, self.token_ids[order], weights[order], offsets)

    def inner_products(
        self, token_rows: Float[Tensor, "tokens d_model"], feature_rows: Float[Tensor, "d_sae d_model"]
    ) -> Float[Tensor, " active"]:
        """For each entry the inner product of its token's row with its feature's row."""
        pieces = zip(self.token_ids.split(ENTRIES_PER_PIECE), self.feature_ids.split(ENTRIES_PER_PIECE), strict=True)
        products = [
            token_rows.index_select(0, tokens) * feature_rows.index_select(0, features) for tokens, features in pieces
        ]
        return torch.cat([product.sum(-1) for product in products])


@dataclass(frozen=True, eq=False)
class StepResult:
    """What a step observed.

    Attributes:
        fvu: Mean squared error of an element; inputs have unit variance, so this is the unexplained fraction.
        l0: Mean number of active features of a token.
        fire_counts: Number of tokens on which each feature is active.
    """

    fvu: Float[Tensor, ""]
    l0: float
    fire_counts: Int64[Tensor, " d_sae"]


def batch_threshold(pre_acts: Float[Tensor, "tokens d_sae"], k: float | int, *, phase: int = 0) -> Float[Tensor, ""]:
    """Threshold that leaves about `k` features of a token active, the mean being taken over the batch.

    The quantile is estimated from every 31st entry: sorting all would cost more than the rest of the step.

    Args:
        pre_acts: Pre-activations.
        k: Wanted mean number of active features of a token.
        phase: First entry looked at; vary it from step to step.
    """
    d_sae = pre_acts.shape[1]
    stride = next(stride for stride in range(SUBSAMPLE, 2 * SUBSAMPLE) if math.gcd(stride, d_sae) == 1)
    sample = pre_acts.flatten()[phase % stride :: stride]
    n_active = min(max(1, round(len(sample) * k / d_sae)), len(sample))
    return sample.topk(n_active).values[-1].clamp(min=SMALLEST_THRESHOLD)


def active_entries(
    pre_acts: Float[Tensor, "tokens d_sae"], threshold: Float[Tensor, ""] | Float[Tensor, "tokens 1"]
) -> ActiveEntries:
    """The entries above the threshold, which may differ from token to token."""
    token_ids, feature_ids = (pre_acts > threshold).nonzero(as_tuple=True)
    return ActiveEntries(
        token_ids=token_ids,
        feature_ids=feature_ids,
        values=pre_acts[token_ids, feature_ids],
        feature_order=feature_ids.argsort(stable=True),
        n_tokens=pre_acts.shape[0],
        d_sae=pre_acts.shape[1],
    )


@torch.no_grad()
def forward_backward(
    weights: BatchTopKWeights,
    x: Float[Tensor, "tokens d_model"],
    k: float | int,
    *,
    phase: int = 0,
    emphasis: Float[Tensor, "tokens 1"] | None = None,
) -> StepResult:
    """Reconstruct a batch from its largest pre-activations and set `.grad` of every weight.

    The loss is `sae.kernels.reference.reconstruction_loss`; the selection is a constant to the gradient. With
    `emphasis` a the loss of a token counts a^2 times, and features are selected by a * pre_act: at unit decoder
    rows, by how much they lower that loss.

    Args:
        weights: Their gradients are overwritten.
        x: Normalised activations.
        k: Mean number of active features of a token.
        phase: As in `batch_threshold`.
        emphasis: Of each token, above 0; 1 where it is left out.
    """
    pre_acts = linear(x, weights.encoder_rows, weights.b_enc)
    if emphasis is None:
        active = active_entries(pre_acts, batch_threshold(pre_acts, k, phase=phase))
    else:
        active = active_entries(pre_acts, batch_threshold(pre_acts * emphasis, k, phase=phase) / emphasis)
    error = active.per_token(weights.decoder_rows) + weights.b_dec - x
    r = error * (2 / len(x))
    if emphasis is not None:
        r = r * emphasis.square()
    value_gradients = active.inner_products(r, weights.decoder_rows)
    weights.decoder_rows.grad = active.per_feature(r, active.values)
    weights.encoder_rows.grad = active.per_feature(x, value_gradients)
    weights.b_enc.grad = torch.zeros_like(weights.b_enc).index_add_(0, active.feature_ids, value_gradients)
    weights.b_dec.grad = r.sum(0)
    return StepResult(
        fvu=error.square().mean(),
        l0=len(active.values) / len(x),
        fire_counts=torch.bincount(active.feature_ids, minlength=active.d_sae),
    )


def _offsets(ids: Int64[Tensor, " active"], n_groups: int) -> Int64[Tensor, " offsets"]:
    """Where each group begins among entries sorted by group."""
    return torch.nn.functional.pad(torch.bincount(ids, minlength=n_groups).cumsum(0), (1, 0))


def _weighted_sums(rows: Tensor, ids: Tensor, weights: Tensor, offsets: Tensor) -> Tensor:
    return embedding_bag(ids, rows, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True)
