"""A reconstruction, its error and the gradients of its values, by our kernel and in two ways of torch's own."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import BFloat16, Float, Int64
from torch import Tensor
from torch.nn.functional import embedding_bag

from experiments.benchmarks.step_cases import Case

__all__ = ["DECODERS", "DecodeInputs", "decode_inputs", "embedding_bag_alone"]


@dataclass(frozen=True, eq=False)
class DecodeInputs:
    """The same number of non-zeros for every token.

    Attributes:
        feature_ids: Ascending within a token.
        values: Above 0.
        decoder_rows: What the values weigh.
        b_dec: Decoder bias.
        x: What is reconstructed.
    """

    feature_ids: Int64[Tensor, "tokens k"]
    values: Float[Tensor, "tokens k"]
    decoder_rows: BFloat16[Tensor, "d_sae d_model"]
    b_dec: Float[Tensor, " d_model"]
    x: Float[Tensor, "tokens d_model"]

    @property
    def scale(self) -> float:
        """From the error of a token to the gradient of its reconstruction."""
        return 2 / len(self.x)


def decode_inputs(case: Case, *, device: torch.device, seed: int = 0) -> DecodeInputs:
    """Random entries, `case.l0` for each token; some features are much more frequent than others."""
    generator = torch.Generator(device).manual_seed(seed)
    shape = case.n_tokens, case.l0
    ids = (torch.rand(shape, generator=generator, device=device).square() * case.d_sae).long()
    return DecodeInputs(
        feature_ids=ids.sort(dim=1).values,
        values=torch.rand(shape, generator=generator, device=device).bfloat16().float() + 0.5,
        decoder_rows=torch.randn(case.d_sae, case.d_model, generator=generator, device=device).bfloat16(),
        b_dec=torch.randn(case.d_model, generator=generator, device=device),
        x=torch.randn(case.n_tokens, case.d_model, generator=generator, device=device),
    )


def _by_triton(inputs: DecodeInputs) -> tuple[Tensor, Tensor]:
    from sae.kernels.triton_compaction import EntryRows
    from sae.kernels.triton_decode import decode_rows

    n_tokens, k = inputs.feature_ids.shape
    counts = torch.full((n_tokens,), k, dtype=torch.int32, device=inputs.x.device)
    decoded = decode_rows(
        EntryRows(inputs.feature_ids.int(), inputs.values, counts, counts),
        inputs.x,
        inputs.decoder_rows,
        inputs.b_dec,
        torch.zeros(len(inputs.decoder_rows), device=inputs.x.device),
        torch.full((n_tokens,), inputs.scale, device=inputs.x.device),
        gathers_window=False,
        r_dtype=torch.bfloat16,
    )
    return decoded.r, decoded.partial_gradients.sum(0)


def _by_embedding_bag(inputs: DecodeInputs) -> tuple[Tensor, Tensor]:
    values = inputs.values.bfloat16().requires_grad_()
    x_hat = embedding_bag(inputs.feature_ids, inputs.decoder_rows, per_sample_weights=values, mode="sum")
    r = _scaled_error(inputs, x_hat.detach())
    return r, torch.autograd.grad(x_hat, values, r)[0]


def _by_gather(inputs: DecodeInputs) -> tuple[Tensor, Tensor]:
    rows = inputs.decoder_rows[inputs.feature_ids]
    x_hat = torch.bmm(inputs.values.bfloat16()[:, None], rows)[:, 0]
    r = _scaled_error(inputs, x_hat)
    return r, torch.bmm(rows, r[:, :, None])[:, :, 0]


def _scaled_error(inputs: DecodeInputs, x_hat: Tensor) -> BFloat16[Tensor, "tokens d_model"]:
    return ((x_hat.float() + inputs.b_dec - inputs.x) * inputs.scale).bfloat16()


def embedding_bag_alone(inputs: DecodeInputs) -> Tensor:
    """The reconstruction without bias, error or gradients: the least that a decode can do."""
    return embedding_bag(
        inputs.feature_ids, inputs.decoder_rows, per_sample_weights=inputs.values.bfloat16(), mode="sum"
    )


DECODERS: dict[str, Callable[[DecodeInputs], tuple[Tensor, Tensor]]] = {
    "triton": _by_triton,
    "embedding_bag": _by_embedding_bag,
    "fixed-k gather": _by_gather,
}
"""Each gives r, the scaled error of every token, and the gradients of the values."""
