"""Does a feature change what the model says: output scores, in the form of the paper and for a wanted answer.

The score of Arad, Mueller and Belinkov 2025 (arXiv 2505.20063, and the code that goes with it) asks whether a feature,
greatly amplified at the last token of one neutral prompt, makes the model say one of the tokens that the feature's
decoder row speaks for:

    S = (1 - min_{t in L} rank(t) / V) * max_{t in L} p(t)

L are the 20 tokens that the logit lens gives the decoder row, rank (from 0) and p are those of the next token when the
feature's activation is larger by ten times the largest activation of any feature at that token, V is the vocabulary.

It is of no particular answer, and of one prompt. `answer_scores` puts the wanted answer in the place of L, and prompts
of other documents in the place of the neutral one; all directions are compared at changes of equal length.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor
from torch.nn.functional import normalize

from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.inspection.logit_lens import logit_lens
from steering.last_token_runs import LastTokenRuns

__all__ = ["AMPLIFICATION", "NEUTRAL_PROMPT", "RELATIVE_LENGTHS", "answer_scores", "output_scores"]

NEUTRAL_PROMPT = "From my experience,"
AMPLIFICATION = 10.0
N_LENS_TOKENS = 20
RELATIVE_LENGTHS = (0.5, 1.0, 2.0)
"""Of a change, beside the median length of the stream where it is made."""


@torch.no_grad()
def output_scores(
    host: HostModel,
    sae: SAE,
    site: Site,
    features: Sequence[int],
    *,
    prompt: str = NEUTRAL_PROMPT,
    amplification: float = AMPLIFICATION,
) -> Float64[Tensor, " features"]:
    """The paper's output score of some features, from 0 to 1.

    Args:
        host: The model.
        sae: The dictionary that writes the site.
        site: The site.
        features: Which features.
        prompt: The neutral prompt.
        amplification: How many times the largest activation at its last token is added.
    """
    runs = LastTokenRuns.record(host, [host.tokenise(prompt)], [site])
    read = host.capture(runs.batch, [sae.input_site or site])[sae.input_site or site]
    largest = sae.encode(read[:, -1].float()).max()
    rows = sae.decoder_rows[list(features)]
    lenses = logit_lens(host, rows, n=N_LENS_TOKENS)
    found = []
    for logits, lens in zip(runs.logits(site, amplification * largest * rows), lenses, strict=True):
        tokens = torch.tensor([[pair.token_id for pair in lens.promoted]], device=logits.device)
        ranks, probabilities = _ranks_and_probabilities(logits[:, -1], tokens)
        found.append(_rank_score(ranks.amin(), host.vocab_size) * probabilities.amax())
    return torch.stack(found).cpu() if found else torch.zeros(0, dtype=torch.float64)


def answer_scores(
    runs: LastTokenRuns,
    site: Site,
    directions: Float[Tensor, "directions d_model"],
    target_ids: Sequence[int],
    *,
    relative_lengths: Sequence[float] = RELATIVE_LENGTHS,
) -> Float64[Tensor, "directions prompts"]:
    """How surely each direction makes the model give a wanted answer: (1 - rank / V) * p, mean over lengths.

    Args:
        runs: The prompts, each continued by the answer without its last token.
        site: Where to add.
        directions: Such as decoder rows; of any length but 0.
        target_ids: The answer's tokens. Of several, p is that of all of them and rank the worst of any.
        relative_lengths: Of the changes, beside the prompts' median activation.

    Returns:
        From 0 to 1 for each direction and prompt.

    Raises:
        ValueError: The prompts are not continued by this answer.
    """
    wanted = torch.tensor([list(target_ids)]).expand(len(runs), -1)
    if wanted.shape[1] != runs.n_kept:
        raise ValueError(
            f"the answer has {wanted.shape[1]} tokens, but {runs.n_kept} are read of each prompt; "
            "continue the prompts by all tokens of the answer but the last"
        )
    stream = runs.activations[site][:, -runs.n_kept].float().norm(dim=-1).median()
    total = torch.zeros(len(directions), len(runs), dtype=torch.float64)
    for length in relative_lengths:
        for row, logits in enumerate(runs.logits(site, normalize(directions.float()) * stream * length)):
            total[row] += _answer_score(logits, wanted.to(logits.device)).cpu()
    return total / len(relative_lengths)


def _answer_score(
    logits: Float[Tensor, "prompts tokens vocab"], wanted: Int[Tensor, "prompts tokens"]
) -> Float64[Tensor, " prompts"]:
    ranks, probabilities = _ranks_and_probabilities(logits.flatten(0, 1), wanted.reshape(-1, 1))
    worst, together = ranks.view(wanted.shape).amax(-1), probabilities.view(wanted.shape).prod(-1)
    return _rank_score(worst, logits.shape[-1]) * together


def _ranks_and_probabilities(
    logits: Float[Tensor, "rows vocab"], tokens: Int[Tensor, "rows tokens"]
) -> tuple[Int[Tensor, "rows tokens"], Float64[Tensor, "rows tokens"]]:
    """How many tokens are likelier than each of some tokens, and how likely these are."""
    chosen = logits.gather(-1, tokens)
    ranks = torch.stack([(logits > each[:, None]).sum(-1) for each in chosen.unbind(-1)], dim=-1)
    return ranks, logits.double().softmax(-1).gather(-1, tokens)


def _rank_score(rank: Int[Tensor, "*rows"], vocab_size: int) -> Float64[Tensor, "*rows"]:
    return 1.0 - rank.double() / vocab_size
