"""What a dictionary keeps where an answer is predicted: at the last token of prompts that ask for one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor

from sae.dictionary.autoencoder import SAE
from sae.evaluation.fidelity import measure_fidelity
from sae.host.host import HostModel
from sae.host.prompts import prompt_ids
from sae.host.sites import Site
from sae.measurement import percentile_interval, resampled_counts

__all__ = ["AnswerFidelity", "answer_activations", "measure_at_answers"]

BATCH_PROMPTS = 64
SMALLEST_SPREAD = 1e-9
"""Share of the prompts' own spread below which a resample is one prompt over and over."""


@dataclass(frozen=True)
class AnswerFidelity:
    """Explained variance where answers are predicted.

    Attributes:
        n_answers: Prompts evaluated.
        explained_variance: As in `Fidelity`, about the mean of these positions: 0 is no better than saying that an
            answer is due, whichever. None where they do not vary.
        interval: 95 %, from resampled prompts; None where there is no value.
    """

    n_answers: int
    explained_variance: float | None
    interval: tuple[float, float] | None


def answer_activations(
    host: HostModel, prompts: Iterable[str], sites: Sequence[Site], *, n_prompts: int
) -> dict[Site, Float[Tensor, "answers d_model"]]:
    """Activations at the last token of prompts, whose output is the answer.

    Args:
        host: The model.
        prompts: Each ends where its answer is due, without a trailing space.
        sites: Where to read.
        n_prompts: Prompts to read at most; those longer than the host's context are passed over.
    """
    rows = [torch.tensor(prompt_ids(host.tokenizer, prompt)) for prompt in islice(prompts, n_prompts)]
    ordered = sorted((row for row in rows if len(row) <= host.context_length), key=len)
    found: dict[Site, list[Tensor]] = {site: [torch.empty(0, host.d_model)] for site in sites}
    for start in range(0, len(ordered), BATCH_PROMPTS):
        # rows are padded on the left
        batch = host.batch(ordered[start : start + BATCH_PROMPTS])
        for site, activations in host.capture(batch, sites).items():
            found[site].append(activations[:, -1].float().cpu())
    return {site: torch.cat(parts) for site, parts in found.items()}


def measure_at_answers(sae: SAE, activations: Float[Tensor, "answers d_model"], *, seed: int = 0) -> AnswerFidelity:
    """Explained variance of answer positions with its interval.

    Args:
        sae: The dictionary.
        activations: At the positions, in the host's units.
        seed: Of the resampling.

    Raises:
        ValueError: There is no position.
    """
    fidelity = measure_fidelity(sae, activations)
    explained = fidelity.explained_variance
    interval = None if explained is None else _interval(sae, activations.to(sae.device).float(), seed)
    return AnswerFidelity(fidelity.n_tokens, explained, interval)


def _interval(sae: SAE, x: Float[Tensor, "answers d_model"], seed: int) -> tuple[float, float]:
    """Each resample is centred on its own mean."""
    squared_errors = (x - sae.decode_sparse(sae.encode_sparse(x))).double().square().sum(1)
    centred = x.double() - x.double().mean(0)
    counts = resampled_counts(len(x), seed=seed).to(x.device)
    means = counts @ centred / len(x)
    squares = counts @ centred.square().sum(1) - len(x) * means.square().sum(1)
    varies = squares > SMALLEST_SPREAD * centred.square().sum()
    explained = 1 - (counts @ squared_errors)[varies] / squares[varies]
    return percentile_interval(explained.cpu())
