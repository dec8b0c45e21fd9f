"""Steps in which ever longer prefixes of one dictionary each reconstruct the batch, as in a Matryoshka dictionary.

    L = sum_j |x - x_hat_j|^2,  x_hat_j = b_dec + sum of z_i d_i over the features i below size_j

A feature writes into its own prefix and into every longer one. What comes back to it is the sum of their errors, so
that a token has one row of upstream gradient for each part: the features of a prefix that no shorter prefix has.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sae.kernels.dense import rounded_matmul
from sae.kernels.dispatch import BREAK_EVEN_DENSITY
from sae.kernels.loss import StepStatistics, WeightGradients, token_scales
from sae.kernels.shadows import BFloat16Shadows
from sae.kernels.sparse_products import decode, feature_sums, inner_products, per_feature
from sae.kernels.support import Support, compact, offsets_of_groups
from sae.kernels.weights import DictionaryWeights

__all__ = ["NESTED_KERNELS", "nested_gradients"]

NESTED_KERNELS = ("auto", "dense", "sparse")
"""Triton's fused step knows the error of one reconstruction only."""

Found = tuple[StepStatistics, WeightGradients, Float[Tensor, " prefixes"]]


@torch.no_grad()
def nested_gradients(
    weights: DictionaryWeights,
    x: Float[Tensor, "tokens d_model"],
    threshold: Float[Tensor, ""] | Float[Tensor, "tokens 1"],
    sizes: Sequence[int],
    *,
    pre_acts: Float[Tensor, "tokens d_sae"],
    emphasis: Float[Tensor, "tokens 1"] | None = None,
    error_weight: float = 1.0,
    kernel: str = "auto",
    shadows: BFloat16Shadows | None = None,
) -> Found:
    """The squared errors of all prefixes and the gradients of their sum, the selection of features being a constant.

    With one prefix, the whole dictionary, this is `sae.kernels.selection.selected_gradients`, bit for bit.

    Args:
        weights: Their own thresholds are left aside, and get a gradient of zero.
        x: Normalised activations.
        threshold: Features above it are active; of the batch, or of each token. Not negative.
        sizes: Features of each prefix, increasing; the last is d_sae.
        pre_acts: Pre-activations of the batch, in the precision that the selection is made in.
        emphasis: As in `sae.kernels.dispatch.loss_and_gradients`.
        error_weight: What the squared errors are multiplied by.
        kernel: `auto`, `dense` or `sparse`; auto is sparse on a processor and goes by density elsewhere.
        shadows: As there; read by the dense path.

    Returns:
        Statistics (the squared error is that of the whole dictionary, the penalty the sum of the others, weighted as in
        the loss), gradients, and each prefix's squared error: a mean over tokens, without emphasis.

    Raises:
        ValueError: The kernel is another one, or the sizes are not increasing and end at d_sae.
    """
    if list(sizes) != sorted({*sizes, weights.d_sae}) or sizes[0] < 1 or sizes[-1] > weights.d_sae:
        raise ValueError(f"sizes are {list(sizes)}, expected increasing ones from 1 on that end at {weights.d_sae}")
    scales = token_scales(emphasis, len(x), error_weight)
    if _choose(kernel, threshold, pre_acts) == "sparse":
        found = _sparse(weights, x, sizes, scales, compact(pre_acts, threshold))
    else:
        feature_acts = pre_acts * (pre_acts > threshold)
        matmul = torch.matmul if shadows is None else rounded_matmul
        found = _dense(weights, x, sizes, scales, feature_acts, matmul)
    statistics, gradients, squared_errors = found
    return replace(statistics, penalty=error_weight * statistics.penalty), gradients, squared_errors


def _choose(kernel: str, threshold: Tensor, pre_acts: Tensor) -> str:
    if kernel not in NESTED_KERNELS:
        raise ValueError(f"kernel is {kernel!r}, but nested prefixes need one of {', '.join(NESTED_KERNELS)}")
    if kernel != "auto":
        return kernel
    if pre_acts.device.type == "cpu":
        return "sparse"
    density = float((pre_acts > threshold).sum(dtype=torch.long)) / pre_acts.numel()
    return "dense" if density > BREAK_EVEN_DENSITY["cuda"] else "sparse"


def _sparse(
    weights: DictionaryWeights, x: Tensor, sizes: Sequence[int], scales: float | Tensor, support: Support
) -> Found:
    parts = _split(support, sizes)
    sums = decode(parts, parts.pre_acts, weights.decoder_rows).unflatten(0, (len(x), len(sizes)))
    errors, upstream = _errors_and_upstream(sums, weights.b_dec - x, scales)
    rows = upstream.flatten(0, 1)
    to_values = inner_products(parts, rows, weights.decoder_rows)
    gradients = WeightGradients(
        encoder_rows=per_feature(support, to_values, x),
        b_enc=feature_sums(support, to_values),
        decoder_rows=per_feature(parts, parts.pre_acts, rows),
        b_dec=upstream[:, 0].sum(0),
        threshold=torch.zeros_like(weights.threshold),
    )
    return _found(errors, gradients, support.feature_counts, support.density, "sparse")


def _dense(
    weights: DictionaryWeights,
    x: Tensor,
    sizes: Sequence[int],
    scales: float | Tensor,
    feature_acts: Tensor,
    matmul: Callable[[Tensor, Tensor], Tensor],
) -> Found:
    active = feature_acts > 0
    parts = [slice(start, end) for start, end in zip((0, *sizes), sizes, strict=False)]
    sums = torch.stack([matmul(feature_acts[:, part], weights.decoder_rows[part]) for part in parts], dim=1)
    errors, upstream = _errors_and_upstream(sums, weights.b_dec - x, scales)
    of_parts = list(zip(parts, upstream.unbind(1), strict=True))
    to_values = torch.cat([matmul(rows, weights.decoder_rows[part].T) for part, rows in of_parts], dim=1)
    to_pre_acts = to_values * active
    gradients = WeightGradients(
        encoder_rows=matmul(to_pre_acts.T, x),
        b_enc=to_pre_acts.sum(0),
        decoder_rows=torch.cat([matmul(feature_acts[:, part].T, rows) for part, rows in of_parts]),
        b_dec=upstream[:, 0].sum(0),
        threshold=torch.zeros_like(weights.threshold),
    )
    return _found(errors, gradients, active.sum(0), float(active.sum() / active.numel()), "dense")


def _split(support: Support, sizes: Sequence[int]) -> Support:
    """The same entries with a row for each part of each token: features ascend within a token, so the order stays."""
    ends = torch.tensor(sizes, dtype=torch.int32, device=support.feature_ids.device)
    rows = support.token_ids * len(sizes) + torch.bucketize(support.feature_ids, ends, right=True)
    counts = torch.bincount(rows, minlength=support.n_tokens * len(sizes))
    return Support(offsets_of_groups(counts), support.feature_ids, support.pre_acts, support.d_sae)


def _errors_and_upstream(
    sums: Float[Tensor, "tokens prefixes d_model"], rest: Float[Tensor, "tokens d_model"], scales: float | Tensor
) -> tuple[Float[Tensor, "tokens prefixes d_model"], Float[Tensor, "tokens prefixes d_model"]]:
    """Each prefix's error, and the gradient to what each part adds: that of its own prefix and of all longer ones.

    The sums become those of prefixes in place; torch's cumsum over a dimension in the middle takes six times as long.
    """
    last = sums.shape[1] - 1
    for part in range(last):
        sums[:, part + 1] += sums[:, part]
    errors = sums + rest[:, None]
    upstream = errors * (scales[:, None] if isinstance(scales, Tensor) else scales)
    for part in reversed(range(last)):
        upstream[:, part] += upstream[:, part + 1]
    return errors, upstream


def _found(
    errors: Float[Tensor, "tokens prefixes d_model"],
    gradients: WeightGradients,
    fire_counts: Int64[Tensor, " d_sae"],
    density: float,
    kernel: str,
) -> Found:
    squared = errors.square().sum(2).mean(0)
    statistics = StepStatistics(
        squared_error=squared[-1],
        penalty=squared[:-1].sum(),
        l0=density * len(fire_counts),
        fire_counts=fire_counts,
        window_counts=torch.zeros_like(fire_counts),
        kernel=kernel,
        density=density,
    )
    return statistics, gradients, squared
