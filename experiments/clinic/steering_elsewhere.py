"""What steering to a diagnosis does where no diagnosis is due: to other prompts of the clinic and to everyday text."""

from collections.abc import Sequence
from itertools import islice

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from experiments.clinic.corpus import broad_texts, clinical_texts
from experiments.clinic.steering_cases import diagnosis_ids
from sae.host.host import HostModel
from sae.host.sites import Site
from steering.last_token_runs import LastTokenRuns
from steering.side_effects import divergence

__all__ = ["biased_elsewhere", "steered_elsewhere", "unrelated_runs"]


def unrelated_runs(host: HostModel, site: Site, n: int, *, seed: int) -> dict[str, LastTokenRuns]:
    """Test documents of either domain, each cut between two words at its middle.

    Args:
        host: The model.
        site: Where it will be steered.
        n: Documents of each domain.
        seed: Of the documents.
    """
    streams = {"same domain": clinical_texts("test", seed=seed), "other domain": broad_texts("test", seed=seed)}
    return {
        domain: LastTokenRuns.record(host, [_first_half(host, text) for text in islice(texts, n)], [site])
        for domain, texts in streams.items()
    }


def steered_elsewhere(
    runs: LastTokenRuns, site: Site, changes: Float[Tensor, "diagnoses d_model"]
) -> Float64[Tensor, "diagnoses prompts"]:
    """KL(steered || plain) of the next token, in nats, with each diagnosis' change added to the last token."""
    plain = runs.plain_logits[:, -1]
    return torch.stack([divergence(logits[:, -1], plain).cpu() for logits in runs.logits(site, changes)])


def biased_elsewhere(
    runs: LastTokenRuns, diagnoses: Sequence[int], strengths: Sequence[float]
) -> Float64[Tensor, "strengths diagnoses prompts"]:
    """The same for a logit bias on each diagnosis, at strength 0 and at each of some strengths."""
    plain, all_ids = runs.plain_logits[:, -1], diagnosis_ids(runs.host)
    found = [
        torch.stack([divergence(_biased(plain, all_ids[d], b), plain).cpu() for d in diagnoses]) for b in strengths
    ]
    return torch.stack([torch.zeros_like(found[0]), *found])


def _biased(
    logits: Float[Tensor, "prompts vocab"], token: Int[Tensor, ""], bias: float
) -> Float[Tensor, "prompts vocab"]:
    changed = logits.clone()
    changed[:, token] += bias
    return changed


def _first_half(host: HostModel, text: str) -> Int[Tensor, " seq"]:
    return host.tokenise(text[: text.rfind(" ", 0, len(text) // 2 + 1)])
