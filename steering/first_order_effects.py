"""Which of all features of a dictionary might cause an answer, from one backward pass: the short list for what is run.

    effect of a small change d at the last token  =  < d log p(answer) / dx, d >

It is the first-order approximation of Syed, Rager and Conmy 2023 (arXiv 2310.10348), here for a feature that is not
active and is to be made so.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from sae.host.sites import Site
from steering.last_token_runs import LastTokenRuns

__all__ = ["first_order_effects"]


def first_order_effects(
    runs: LastTokenRuns, site: Site, directions: Float[Tensor, "directions d_model"], target_ids: Sequence[int]
) -> Float[Tensor, " directions"]:
    """Slope of an answer's log-probability along each direction at length 1, in nats, mean over the prompts.

    Args:
        runs: The prompts, each continued by the answer without its last token.
        site: Where the directions lie.
        directions: Such as decoder rows.
        target_ids: The answer's tokens.
    """
    wanted = torch.tensor(list(target_ids), device=runs.batch.ids.device)

    def log_probability(logits: Float[Tensor, "prompts kept vocab"]) -> Float[Tensor, " prompts"]:
        tokens = wanted.to(logits.device).expand(len(logits), -1)[..., None]
        return logits.log_softmax(-1).gather(-1, tokens)[..., 0].sum(-1)

    found = runs.host.gradients(runs.batch, [site], log_probability, logits_to_keep=runs.n_kept)
    slope = found.gradients[site][:, -runs.n_kept].mean(0)
    return normalize(directions.float()) @ slope.to(directions.device)
