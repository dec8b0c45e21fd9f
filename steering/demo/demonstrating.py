"""From a model to a demonstration: the case, the target, the feature, the strength, and what all of it comes to."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import torch

from sae.corpora import read_corpus
from sae.host.sites import Site
from steering.baseline_directions import random_feature
from steering.demo.choosing import N_TRIED, draw_target, feature_sites, rank_features
from steering.demo.curves import effect_curves, measure_feature
from steering.demo.demonstration import Candidate, Choice, Demonstration
from steering.demo.settings import DemoSettings
from steering.demo.shown_case import ShownText, show_case
from steering.dictionaries import Dictionaries
from steering.directions import Feature
from steering.interventions import Intervention, SteeringSpec
from steering.positions import PromptTokens, read_prompt
from steering.risk_card import RiskCard, risk_cards
from steering.steered_host import SteeredHost
from steering.sweep.choosing import chosen_strength
from steering.sweep.prompts import TargetPrompts, corpus_prompts, plain_answers, target_prompts
from steering.sweep.unrelated_text import UnrelatedText, bundled_domains, read_unrelated

__all__ = ["STRENGTHS", "demonstrate"]

STRENGTHS = tuple(round(0.2 * step, 1) for step in range(11))
"""As shares of the length of the stream (`resid`)."""
FOLLOW_UPS = {"clinic": " Treatment:"}
"""By bundled model, what is asked after the answer."""
UNRELATED_SEED = 500_000
"""Added to the seed where unrelated texts are drawn: other documents than those that units were measured on."""
OTHERS_READ = 2
"""Prompts read for each that is wanted: those that are answered with the target anyway do not count."""
N_LISTED = 5
"""Candidates that are listed."""


def demonstrate(steered: SteeredHost, settings: DemoSettings, *, texts: Iterable[str] | None = None) -> Demonstration:
    """Choose what was not given, on other cases than the one that is shown, and measure it on yet other ones.

    Args:
        steered: The model.
        settings: What is given.
        texts: Prompts that end where an answer is due; by default those that the dictionaries' corpus knows.

    Raises:
        ValueError: There are no such prompts, the target is not one token, the feature does not exist, or something
            does not fit into the context.
    """
    dictionaries, host = steered.dictionaries, steered.host
    if settings.feature:
        dictionaries.direction(settings.feature)
    sites = [settings.feature.site] if settings.feature else feature_sites(dictionaries)
    stream = (
        corpus_prompts(dictionaries, sites[-1], seed=settings.seed, option="--prompts")
        if texts is None
        else iter(texts)
    )
    case = read_prompt(host, _first(stream) if settings.prompt is None else settings.prompt)
    others = [text for text in islice(stream, OTHERS_READ * settings.n_prompts) if text != case.text]
    answer_id = int(plain_answers(host, [case])[0])
    target = settings.target or _drawn_target(steered, others, answer_id, settings)
    asked = target_prompts(host, target, others, n_prompts=settings.n_prompts)
    candidates = [] if settings.feature else _candidates(steered, sites, asked)
    feature = settings.feature or candidates[0].feature
    null = _null_of(dictionaries, feature, settings.seed)
    unrelated = _unrelated(steered, feature, target, settings)
    edit = Intervention(feature, "add", 0.0, "resid", "last")
    moved, of_null = (
        measure_feature(
            steered, replace(edit, target=each), STRENGTHS, asked, unrelated, max_new_tokens=settings.max_new_tokens
        )
        for each in (feature, null)
    )
    return Demonstration(
        prompt=case.text,
        target=target,
        answer=host.tokenizer.decode([answer_id]).strip(),
        feature=feature,
        null=null,
        label=dictionaries.label(feature.site, feature.index),
        unit=edit.unit,
        texts=tuple(_shown(steered, case, edit, asked.target_id, settings)),
        chosen=chosen_strength(moved, asked.chooses),
        max_act=dictionaries.unit_sizes(feature).sizes.get("max_act"),
        curves=effect_curves(moved, of_null, asked, unrelated, seed=settings.seed),
        choice=_choice(settings, target, candidates, sites, asked),
        card=_card(steered, feature, settings.seed),
    )


def _first(prompts: Iterator[str]) -> str:
    found = next(prompts, None)
    if found is None:
        raise ValueError("there is no prompt to show, expected at least one; give --prompt")
    return found


def _null_of(dictionaries: Dictionaries, feature: Feature, seed: int) -> Feature:
    """Another feature that is active about as often."""
    known = dictionaries.references(feature.site)
    if isinstance(known, str) or known.densities is None:
        raise ValueError(f"a random feature cannot be drawn: {known}; give --statistics CORPUS")
    return Feature(feature.site, random_feature(known.densities, feature.index, seed=seed))


def _shown(
    steered: SteeredHost, case: PromptTokens, edit: Intervention, target_id: int, settings: DemoSettings
) -> list[ShownText]:
    follow_up = FOLLOW_UPS.get(steered.host.name, "") if settings.follow_up is None else settings.follow_up
    return show_case(
        steered,
        case,
        [SteeringSpec((edit.with_value(strength),)) for strength in STRENGTHS],
        target_ids=torch.tensor([target_id]),
        follow_up=follow_up,
        max_new_tokens=settings.max_new_tokens,
    )


def _card(steered: SteeredHost, feature: Feature, seed: int) -> RiskCard:
    """From the text that units are measured by, as much of it."""
    known = steered.dictionaries.references(feature.site)
    assert not isinstance(known, str)  # a random feature has been drawn by it
    texts = read_corpus(known.corpus, seed=seed)
    [card] = risk_cards(steered, [feature], texts, n_tokens=known.n_tokens)
    return card


def _drawn_target(steered: SteeredHost, others: Sequence[str], answer_id: int, settings: DemoSettings) -> str:
    prompts = [read_prompt(steered.host, text) for text in others[: settings.n_prompts]]
    return draw_target(steered.host, prompts, without=answer_id, seed=settings.seed)


def _candidates(steered: SteeredHost, sites: Sequence[Site], asked: TargetPrompts) -> list[Candidate]:
    """Features ranked on the cases that choose."""
    choosing = [prompt for prompt, chooses in zip(asked.prompts, asked.chooses.tolist(), strict=True) if chooses]
    return rank_features(steered, sites, choosing, asked.target_id)


def _unrelated(steered: SteeredHost, feature: Feature, target: str, settings: DemoSettings) -> list[UnrelatedText]:
    return read_unrelated(
        steered.host,
        bundled_domains(steered.dictionaries, feature.site),
        n_texts=settings.n_texts,
        n_tokens=settings.n_tokens,
        without=[target],
        seed=settings.seed + UNRELATED_SEED,
    )


def _choice(
    settings: DemoSettings, target: str, candidates: Sequence[Candidate], sites: Sequence[Site], asked: TargetPrompts
) -> Choice:
    n_choosing = int(asked.chooses.sum())
    n_reporting = len(asked.prompts) - n_choosing
    drawn = f"drawn with seed {settings.seed}"
    case = "The case was given" if settings.prompt is not None else f"The case is the first of those {drawn}"
    goal = "was given" if settings.target else f"is one of the model's answers to other cases, {drawn}"
    tried = f"out of {N_TRIED} tried at each of {', '.join(map(str, sites))}: those with the largest first-order effect"
    how = f"has the best answer score on {n_choosing} other cases, {tried}" if candidates else "was given"
    words = (
        f"{case}; nothing else was chosen by it. The target “{target}” {goal}.",
        f"The feature {how}.",
        f"The strength is the smallest that answers the target most often on those {n_choosing} cases, among strengths "
        f"that keep the text fluent. Rates are of {n_reporting} cases more, which chose nothing.",
    )
    return Choice(words, "answer score", tuple(candidates[:N_LISTED]))
