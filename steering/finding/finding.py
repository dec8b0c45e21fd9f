"""A search from candidates to verified features: ranked by what they cause, swept on held-out prompts, on cards.

Candidates come from labels, from text or from pairs of prompts; prompts of other documents rank them; prompts of yet
other documents verify the best of them, half choosing each one's strength and half reporting what it does. A feature
drawn at random is verified beside them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from sae.host.prompts import single_token
from sae.host.sites import Site
from sae.progress import progress
from steering.dictionaries import Dictionaries
from steering.directions import Feature
from steering.finding.candidates import Candidate
from steering.finding.ranking import RankedFeature, ranked, slope_candidates
from steering.finding.settings import FindSettings
from steering.interventions import Intervention
from steering.last_token_runs import LastTokenRuns
from steering.risk_card import RiskCard, risk_cards
from steering.steered_host import SteeredHost
from steering.sweep.measuring import Watched, measure_method
from steering.sweep.methods import DirectionMethod
from steering.sweep.prompts import TargetPrompts, target_prompts
from steering.sweep.results import Sweep
from steering.sweep.settings import SweepSettings
from steering.sweep.unrelated_text import UnrelatedText, read_unrelated

__all__ = ["Found", "VerifiedFeature", "find_features"]

ROW_KEYS = (
    "strength",
    "unit",
    "norm_ratio",
    "target_rate",
    "target_logit",
    "kl_off_target",
    "delta_ce",
    "repetition",
    "kl_other_answers",
    "kl_by_domain",
    "intervals",
    "example",
)


@dataclass(frozen=True, eq=False)
class VerifiedFeature:
    """A feature with everything that was found out about it.

    Attributes:
        ranked: Where it comes from and its scores.
        label: What it stands for, if known.
        row: Of its sweep, at the strength that was chosen: a row of `steering sweep`.
        card: Its footprint.
    """

    ranked: RankedFeature
    label: str | None
    row: Mapping[str, Any]
    card: RiskCard

    def to_json(self) -> dict[str, Any]:
        """A row of `steering find --json`."""
        return {
            **_scores(self.ranked, self.label),
            **{key: self.row[key] for key in ROW_KEYS},
            "risk_card": self.card.to_json(),
        }


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    Attributes:
        settings: What was asked.
        features: The verified features, best output score first.
        others: Candidates with a smaller output score, which were not verified.
        null: A feature drawn at random, verified in the same way.
        n_reported: Prompts that rows are of.
    """

    settings: FindSettings
    features: tuple[VerifiedFeature, ...]
    others: tuple[tuple[RankedFeature, str | None], ...]
    null: VerifiedFeature
    n_reported: int

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "target": self.settings.target,
            "n_prompts": {"scoring": self.settings.n_scoring, "reported": self.n_reported},
            "rows": [each.to_json() for each in self.features],
            "null": self.null.to_json(),
            "not_verified": [_scores(*each) for each in self.others],
        }


def find_features(
    steered: SteeredHost,
    settings: FindSettings,
    candidates: Iterable[Candidate],
    sites: Sequence[Site],
    *,
    scoring: Iterable[str],
    prompts: Iterable[str],
    texts: Mapping[Site, Iterable[str]],
    domains: Mapping[str, str],
) -> Found:
    """Rank candidates, together with the features of largest first-order effect, and verify the best.

    Args:
        steered: The model.
        settings: What is asked.
        candidates: Of `candidates.py` and `mentions.py`.
        sites: Where features of large first-order effect are looked for.
        scoring: Prompts by which candidates are ranked, each ending where an answer is due.
        prompts: The same of other documents, by which they are verified.
        texts: Of each site the text that its cards are read off.
        domains: SPEC of unrelated text by name.

    Raises:
        ValueError: There is no candidate or no prompt, or the target is not one token.
    """
    host, target_id = steered.host, single_token(steered.host.tokenizer, settings.target)
    rows = [host.tokenise(text) for text in islice(scoring, settings.n_scoring)]
    if not rows:
        raise ValueError("there is no prompt to score features on, expected some; give --prompts FILE")
    pool = list(candidates)
    for site in sites:
        pool += slope_candidates(steered, LastTokenRuns.record(host, rows, [site]), site, target_id)
    order = ranked(steered, pool, rows, target_id)
    best = order[: settings.n_verified]
    drawn = _random_feature(steered.dictionaries, best[0].feature, [each.feature for each in order], settings.seed)
    null = ranked(steered, [Candidate(drawn, "random", None)], rows, target_id)[0]
    asked = target_prompts(host, settings.target, prompts, n_prompts=settings.n_prompts)
    unrelated = read_unrelated(
        host,
        domains,
        n_texts=settings.n_texts,
        n_tokens=settings.n_tokens,
        without=(settings.target,),
        seed=settings.seed + 1,
    )
    cards = _cards(steered, [each.feature for each in (*best, null)], texts, settings)
    found = []
    for each in progress((*best, null), "verifying", unit="feature"):
        sweep = _swept(steered, each.feature, settings, asked, unrelated, domains)
        card, label = cards[each.feature], _label(steered.dictionaries, each.feature)
        found.append(VerifiedFeature(each, label, _chosen_row(sweep), card))
    others = tuple((each, _label(steered.dictionaries, each.feature)) for each in order[settings.n_verified :])
    return Found(settings, tuple(found[:-1]), others, found[-1], int((~asked.chooses).sum()))


def _random_feature(dictionaries: Dictionaries, best: Feature, known: Sequence[Feature], seed: int) -> Feature:
    """A feature of the best one's site that is no candidate."""
    taken = {feature.index for feature in known if feature.site == best.site}
    free = [index for index in range(dictionaries.sae(best.site).d_sae) if index not in taken]
    if not free:
        raise ValueError(f"every feature of {best.site} is a candidate, none is left to compare with; ask for fewer")
    return Feature(best.site, free[int(torch.randint(len(free), (1,), generator=torch.Generator().manual_seed(seed)))])


def _swept(
    steered: SteeredHost,
    feature: Feature,
    settings: FindSettings,
    asked: TargetPrompts,
    unrelated: Sequence[UnrelatedText],
    domains: Mapping[str, str],
) -> Sweep:
    edit = Intervention(feature, "add", 1.0, "resid", "last")
    sweep = SweepSettings(
        edit=edit,
        target=settings.target,
        strengths=settings.strengths,
        methods=(),
        n_prompts=settings.n_prompts,
        n_texts=settings.n_texts,
        n_tokens=settings.n_tokens,
        max_new_tokens=settings.max_new_tokens,
        seed=settings.seed,
    )
    measured = measure_method(
        steered.host,
        DirectionMethod(feature.name, steered, edit),
        sweep.ordered,
        asked,
        unrelated,
        Watched(steered.dictionaries, ()),
        lexicon=sweep.words,
        max_new_tokens=settings.max_new_tokens,
    )
    return Sweep(sweep, asked, domains, tuple(unrelated), (measured,))


def _chosen_row(sweep: Sweep) -> dict[str, Any]:
    """The row at the strength that the choosing half chose."""
    chosen = sweep.to_json()["chosen"]["strength"]
    return next(row for row in sweep.rows() if row["strength"] == chosen)


def _cards(
    steered: SteeredHost, features: Sequence[Feature], texts: Mapping[Site, Iterable[str]], settings: FindSettings
) -> dict[Feature, RiskCard]:
    found: dict[Feature, RiskCard] = {}
    for site in sorted({feature.site for feature in features}):
        here = [feature for feature in features if feature.site == site]
        cards = risk_cards(steered, here, texts[site], n_tokens=settings.corpus_tokens)
        found |= dict(zip(here, cards, strict=True))
    return found


def _label(dictionaries: Dictionaries, feature: Feature) -> str | None:
    known = dictionaries.label(feature.site, feature.index)
    return None if known is None else known.text


def _scores(each: RankedFeature, label: str | None) -> dict[str, Any]:
    return {
        "feature": each.feature.name,
        "label": label,
        "found_by": each.candidate.found_by,
        "input_score": each.candidate.input_score,
        "answer_score": each.answer_score.to_json(),
        "output_score": each.output_score,
    }
