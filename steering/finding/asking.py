"""From what a user looks for to a search: the model, its sites, candidates, the wanted answer and prompts."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sae.command_line import Stopwatch
from sae.corpora import read_corpus
from sae.corpus_knowledge import answer_prompts
from sae.host.sites import Site, match_sites
from sae.inspection.sources import recorded_corpus
from sae.prompt_files import read_prompts
from sae.prompt_pairs import Pair, read_pairs
from steering.finding.candidates import Candidate, by_contrast, by_label
from steering.finding.finding import Found, find_features
from steering.finding.mentions import by_mentions
from steering.finding.settings import FindSettings
from steering.steered_host import SteeredHost, open_steered_host
from steering.sweep.unrelated_text import bundled_domains

__all__ = ["search"]

FEWEST_PAIRS = 12
"""From here on a half of the pairs has prompts enough to verify on."""
RANKING_SHARE = 3
"""One in so many prompts of a file ranks."""


def search(options: Mapping[str, Any], watch: Stopwatch) -> tuple[SteeredHost, Found]:
    """Carry out `steering find`.

    Args:
        options: Of the command.
        watch: Takes the time of each stage.

    Raises:
        ValueError: Nothing is found, or something that was asked for cannot be done.
    """
    with watch.stage("load"):
        steered = open_steered_host(
            options["model"],
            saes=options["saes"],
            statistics=options["corpus"],
            seed=options["seed"],
            device=options["device"],
            dtype=options["dtype"],
        )
        sites = _sites(steered, options["sites"])
    with watch.stage("candidates"):
        pairs = [] if options["contrast"] is None else read_pairs(options["contrast"])
        halves = (pairs[::2], pairs[1::2]) if len(pairs) >= FEWEST_PAIRS else (pairs, [])
        corpora = {site: _corpus(steered, site, options["corpus"]) for site in sites}
        candidates = [each for site in sites for each in _candidates(steered, site, corpora[site], options, halves[0])]
    settings = FindSettings(
        target=options["target"] or _derived_target(options, pairs),
        n_candidates=options["candidates"],
        n_verified=options["top"],
        corpus_tokens=options["corpus_tokens"],
        seed=options["seed"],
    )
    scoring, verifying = _prompts(options, corpora[sites[-1]], halves[1])
    with watch.stage("rank and verify"):
        found = find_features(
            steered,
            settings,
            candidates,
            sites,
            scoring=scoring,
            prompts=verifying,
            texts={site: read_corpus(corpora[site], seed=options["seed"]) for site in sites},
            domains=bundled_domains(steered.dictionaries, sites[-1]),
        )
    return steered, found


def _sites(steered: SteeredHost, patterns: str | None) -> list[Site]:
    if patterns is not None:
        return match_sites(patterns, steered.host.sites)
    found = steered.dictionaries.stream_sites()
    if not found:
        steered.dictionaries.sae(steered.host.sites[-1])  # says why there is none
    return found


def _corpus(steered: SteeredHost, site: Site, given: str | None) -> str:
    corpus = given or recorded_corpus(steered.dictionaries.sae(site))
    if corpus is None:
        raise ValueError(f"the SAE at {site} does not say what it was trained on; give --corpus")
    return corpus


def _candidates(
    steered: SteeredHost, site: Site, corpus: str, options: Mapping[str, Any], pairs: Sequence[Pair]
) -> list[Candidate]:
    """Those of one site, at most so many of each kind."""
    sae = steered.dictionaries.sae(site)
    if options["label"] is not None:
        found = by_label(steered.dictionaries, site, options["label"])
    elif pairs:
        found = by_contrast(steered.host, sae, site, pairs)
    else:
        phrases, texts = (options["concept"], *options["synonyms"]), read_corpus(corpus, seed=options["seed"])
        found = [label for phrase in phrases for label in by_label(steered.dictionaries, site, phrase)]
        found += by_mentions(steered.host, sae, site, texts, phrases, n_tokens=options["corpus_tokens"])
    n_of = Counter[str]()
    kept = []
    for each in found:
        n_of[each.found_by] += 1
        if n_of[each.found_by] <= options["candidates"]:
            kept.append(each)
    return kept


def _derived_target(options: Mapping[str, Any], pairs: Sequence[Pair]) -> str:
    """What was looked for, as an answer."""
    if pairs:
        return Counter(pair.clean_answer.strip() for pair in pairs).most_common(1)[0][0]
    if options["label"] is not None:
        return str(options["label"]).rpartition(":")[2].replace("_", " ")
    return str(options["concept"])


def _prompts(options: Mapping[str, Any], corpus: str, pairs: Sequence[Pair]) -> tuple[Iterator[str], Iterator[str]]:
    """Prompts to rank by, and those of other documents to verify on."""
    path: Path | None = options["prompts"]
    given = read_prompts(path) if path is not None else [pair.patch_prefix for pair in pairs]
    if given:
        return iter(given[::RANKING_SHARE]), (text for i, text in enumerate(given) if i % RANKING_SHARE)
    # seeds are of streams of documents of their own
    first, second = options["seed"] + 1, options["seed"] + 2
    if next(answer_prompts(corpus, seed=first), None) is None:
        return _first_halves(corpus, first), _first_halves(corpus, second)
    return answer_prompts(corpus, seed=first), answer_prompts(corpus, seed=second)


def _first_halves(corpus: str, seed: int) -> Iterator[str]:
    """Documents up to a space in their middle, of a corpus that does not know where an answer is due."""
    for text in read_corpus(corpus, seed=seed):
        half = text[: text.rfind(" ", 0, len(text) // 2 + 1)].rstrip()
        if half:
            yield half
