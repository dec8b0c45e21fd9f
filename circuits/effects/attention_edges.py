r"""Edges through one layer's attention in closed form, its two paths apart.

A target reads <r, z_t>, with r the derivative of m by the values z_t that attention mixes at the target's token t. A
source at token s moves query, key and value there by dq, dk and dv. Summed over heads, with the pattern A, its scores
<q, k> and c(j) the derivative of a softmax's input by its score:

    through the value   A[t, s] <r, dv>
    through the key     D[s] <q_t, dk>                  D[j] = A[t, j] c(j) <r, v_j - z_t>
    through the query   sum_j D[j] <dq, k_j>            where s = t, since a token asks for itself only

The first leaves the pattern as it is; the other two move it. It is the derivative of softmax(q k^T) v, written out.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.host.open_attention import Heads

__all__ = ["attention_effects"]


def attention_effects(
    heads: Heads,
    row: Float[Tensor, "heads targets value_width"],
    target_position: Int[Tensor, " targets"],
    moved: tuple[
        Float[Tensor, "heads sources width"],
        Float[Tensor, "heads sources width"],
        Float[Tensor, "heads sources value_width"],
    ],
    source_position: Int[Tensor, " sources"],
) -> tuple[Float[Tensor, "targets sources"], Float[Tensor, "targets sources"]]:
    """Effects through the values, and through queries and keys.

    Args:
        heads: Of the whole prompt, in the clean run.
        row: Derivative of m by the mixed values at the target's token, through each target.
        target_position: Of the targets.
        moved: How far each source moves query, key and value at its token.
        source_position: Of the sources.
    """
    query_change, key_change, value_change = moved
    taken = heads.pattern[:, target_position]
    by_value = (taken[..., source_position] * (row @ value_change.transpose(-1, -2))).sum(dim=0)
    at_target = (row * heads.mixed[:, target_position]).sum(dim=-1, keepdim=True)
    by_score = taken * heads.score_slope[:, target_position] * (row @ heads.value.transpose(-1, -2) - at_target)
    along_keys = heads.query[:, target_position] @ key_change.transpose(-1, -2)
    by_key = (by_score[..., source_position] * along_keys).sum(dim=0)
    by_query = torch.einsum("htw,hsw->ts", by_score @ heads.key, query_change)
    return by_value, by_key + by_query * (target_position[:, None] == source_position[None])
