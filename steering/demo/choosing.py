"""A target and a feature for it, both taken without a look at the case that is shown or at those that report."""

import random
from collections.abc import Sequence

from jaxtyping import Int
from torch import Tensor

from sae.host.host import HostModel
from sae.host.sites import Site
from steering.demo.demonstration import Candidate
from steering.dictionaries import Dictionaries
from steering.directions import Feature
from steering.first_order_effects import first_order_effects
from steering.last_token_runs import LastTokenRuns
from steering.output_score import answer_scores
from steering.positions import PromptTokens

__all__ = ["N_TRIED", "draw_target", "feature_sites", "plain_answers", "rank_features"]

N_TRIED = 12
"""Features of each site that are tried out, those whose first-order effect is largest."""


def feature_sites(dictionaries: Dictionaries) -> list[Site]:
    """The sites of the residual stream that a dictionary writes.

    Raises:
        ValueError: There is none.
    """
    found = [
        site
        for site in dictionaries.host.sites
        if site.kind == "resid_post" and dictionaries.sae_if_any(site) is not None
    ]
    if not found:
        raise ValueError(f"model {dictionaries.host.name!r} has no SAE at any resid_post; give --saes or --feature")
    return found


def draw_target(host: HostModel, prompts: Sequence[PromptTokens], *, without: int, seed: int) -> str:
    """One of the answers that the plain model gives to some prompts, every answer equally likely.

    Args:
        host: The model.
        prompts: Each ends where an answer is due.
        without: A token that is not to be drawn.
        seed: Of the draw.

    Raises:
        ValueError: The model answers them all alike.
    """
    answers = sorted({*plain_answers(host, prompts).tolist()} - {without})
    if not answers:
        raise ValueError(f"the model gives the same answer to all of {len(prompts)} prompts; give --target")
    words: str = host.tokenizer.decode([random.Random(seed).choice(answers)])
    return words.strip()


def plain_answers(host: HostModel, prompts: Sequence[PromptTokens]) -> Int[Tensor, " prompts"]:
    """The likeliest next token of each prompt."""
    logits = host.forward(host.batch([prompt.ids for prompt in prompts]), logits_to_keep=1).logits
    return logits[:, -1].argmax(-1).cpu()


def rank_features(
    dictionaries: Dictionaries, sites: Sequence[Site], prompts: Sequence[PromptTokens], target_id: int
) -> list[Candidate]:
    """Features by how surely they make the model give an answer, best first.

    All features of a site are ranked by their first-order effect; the best are added to the last token of every prompt
    in turn, and the answer score is the mean over prompts.

    Args:
        dictionaries: Of the model.
        sites: Where to look.
        prompts: Each ends where an answer is due.
        target_id: The wanted answer.
    """
    runs = LastTokenRuns.record(dictionaries.host, [prompt.ids for prompt in prompts], sites)
    found: list[Candidate] = []
    for site in sites:
        rows = dictionaries.sae(site).decoder_rows
        slopes = first_order_effects(runs, site, rows, [target_id])
        tried = slopes.topk(min(N_TRIED, len(slopes))).indices
        scores = answer_scores(runs, site, rows[tried], [target_id]).mean(1)
        for index, score in zip(tried.tolist(), scores.tolist(), strict=True):
            label = dictionaries.label(site, index)
            found.append(Candidate(Feature(site, index), None if label is None else label.text, score))
    return sorted(found, key=lambda each: -each.score)
