"""A target and a feature for it, both taken without a look at the case that is shown or at those that report."""

import random
from collections.abc import Sequence

from sae.host.host import HostModel
from sae.host.sites import Site
from steering.demo.demonstration import Candidate
from steering.dictionaries import Dictionaries
from steering.finding.ranking import ranked, slope_candidates
from steering.last_token_runs import LastTokenRuns
from steering.positions import PromptTokens
from steering.steered_host import SteeredHost
from steering.sweep.prompts import plain_answers

__all__ = ["N_TRIED", "draw_target", "feature_sites", "rank_features"]

N_TRIED = 12
"""Features of each site that are tried out, those whose first-order effect is largest."""


def feature_sites(dictionaries: Dictionaries) -> list[Site]:
    """The sites of the residual stream that a dictionary writes.

    Raises:
        ValueError: There is none.
    """
    found = dictionaries.stream_sites()
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


def rank_features(
    steered: SteeredHost, sites: Sequence[Site], prompts: Sequence[PromptTokens], target_id: int
) -> list[Candidate]:
    """Features by how surely they make the model give an answer, best first.

    At each site the `N_TRIED` of largest first-order effect are tried, as `steering find` tries them.

    Args:
        steered: The model.
        sites: Where to look.
        prompts: Each ends where an answer is due.
        target_id: The wanted answer.
    """
    rows = [prompt.ids for prompt in prompts]
    runs = LastTokenRuns.record(steered.host, rows, sites)
    tried = [each for site in sites for each in slope_candidates(steered, runs, site, target_id, n=N_TRIED)]
    found = []
    for each in ranked(steered, tried, rows, target_id):
        label = steered.dictionaries.label(each.feature.site, each.feature.index)
        found.append(Candidate(each.feature, None if label is None else label.text, each.answer_score.value or 0.0))
    return found
