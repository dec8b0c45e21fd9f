"""Which tokens a direction makes likelier or less likely when it reaches the unembedding directly."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = ["LENS", "LogitLens", "TokenLogit", "logit_lens"]

LENS = (
    "decoder row times unembedding, with the weight of the final norm but not its division, "
    "centred over the vocabulary: logits for one unit of activation that reaches the output unchanged"
)
"""What the numbers are, in words."""

ROWS_PER_PASS, ROW_LENGTH = 8, 32


@dataclass(frozen=True)
class TokenLogit:
    """A token and what one unit of activation adds to its logit, compared with the mean token."""

    token_id: int
    logit: float


@dataclass(frozen=True)
class LogitLens:
    """The tokens that a direction speaks for and against, strongest first."""

    promoted: tuple[TokenLogit, ...]
    suppressed: tuple[TokenLogit, ...]


def logit_lens(host: HostModel, directions: Float[Tensor, "rows d_model"], *, n: int = 10) -> list[LogitLens]:
    """Read directions through the host's own final norm and unembedding.

    A direction d stands in for the last residual stream at length sqrt(d_model), where the norm divides by 1; the
    logits are scaled back to d's own length. The norm's division by the length of the real stream, which differs from
    token to token, is left out: within a direction the order of tokens does not depend on it.

    Args:
        host: The model.
        directions: Rows such as decoder rows; a row of zeros has zero logits.
        n: Tokens at either end.
    """
    n = min(n, host.vocab_size)
    lenses = []
    for logits in _logits(host, directions):
        promoted, suppressed = logits.topk(n), logits.topk(n, largest=False)
        lenses += [
            LogitLens(_pairs(up_ids, up), _pairs(down_ids, down))
            for up_ids, up, down_ids, down in zip(
                promoted.indices, promoted.values, suppressed.indices, suppressed.values, strict=True
            )
        ]
    return lenses


def _logits(host: HostModel, directions: Float[Tensor, "rows d_model"]) -> Iterator[Float[Tensor, "some vocab"]]:
    """Centred logits of the directions, a few at a time."""
    last = Site("resid_post", host.n_layers - 1)
    length = min(ROW_LENGTH, host.context_length)
    # ids do not matter: the edit replaces everything they lead to
    batch = host.batch([torch.zeros(length, dtype=torch.long)] * ROWS_PER_PASS)
    for rows in directions.float().split(ROWS_PER_PASS * length):
        stream = torch.zeros(ROWS_PER_PASS * length, host.d_model)
        stream[: len(rows)] = normalize(rows) * host.d_model**0.5
        held = stream.view(ROWS_PER_PASS, length, host.d_model).to(host.device, host.dtype)
        logits = host.forward(batch, {last: partial(_replace_by, held)}).logits.flatten(0, 1)[: len(rows)].float().cpu()
        yield (logits - logits.mean(-1, keepdim=True)) * rows.norm(dim=-1, keepdim=True).cpu() / host.d_model**0.5


def _replace_by(
    held: Float[Tensor, "batch seq d_model"], _: Float[Tensor, "batch seq d_model"]
) -> Float[Tensor, "batch seq d_model"]:
    return held


def _pairs(token_ids: Tensor, logits: Tensor) -> tuple[TokenLogit, ...]:
    return tuple(TokenLogit(*pair) for pair in zip(token_ids.tolist(), logits.tolist(), strict=True))
