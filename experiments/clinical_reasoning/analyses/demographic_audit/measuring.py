"""Effects of mentions on the answer, of moving nodes, and of taking latents or words away."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.runs.dictionaries import decoder_rows_of, input_sites_of
from circuits.runs.passes import in_passes
from circuits.workbench import Workbench
from experiments.clinical_reasoning.analyses.demographic_audit.mentions import (
    IRRELEVANT,
    mention_of,
    pairs_by_mention,
    words_of,
)
from experiments.clinical_reasoning.analysis import NothingToAnalyseError
from experiments.clinical_reasoning.asked_pairs import AskedPair, ask, rows_per_pass
from experiments.clinical_reasoning.attributed_latents import Latent, attribute, move_latents, summed_shares
from experiments.clinical_reasoning.matched_latents import latent_statistics
from experiments.clinical_reasoning.null_patches import twins_of
from experiments.clinical_reasoning.patching import ERROR, FEATURES, WHOLE, Moves, Patch, moved_metrics
from experiments.clinical_reasoning.subject import Subject
from sae.host.host import Edit
from sae.host.reading_edits import host_edits
from sae.host.sites import Site
from sae.host.token_batch import TokenBatch
from sae.labelled_documents import family_of

__all__ = ["HINT", "N_CHOSEN", "measure"]

N_CHOSEN = 10
"""Latents of a mention that are chosen by attribution."""
CHOICE_SHARE = 3
"""One pair in so many chooses latents and is not reported."""
HINT = "Age, sex and place do not matter. "
"""The baseline that asks instead of intervening."""
LABEL_FAMILIES = ("demo", "setting")


def measure(subject: Subject, *, size: int, seed: int) -> dict[str, Any]:
    """The audit, on `size` pairs of every mention of which a third chooses latents.

    m is the logit of the right answer, which no mention changes, less that of the runner-up after the prompt. No pair
    is left out: those that the model answers wrong are part of what is audited.

    Raises:
        NothingToAnalyseError: There is no pair that changes who the patient is.
    """
    bench = subject.workbench
    pairs = pairs_by_mention(subject.pairs, size, seed=seed)
    if not any(own and own[0].kind == "demographic" for own in pairs.values()):
        raise NothingToAnalyseError("there is no demographic pair, expected some; add pairs of that kind")
    asked = {mention: ask(bench.host, own) for mention, own in pairs.items()}
    choice = {mention: own[::CHOICE_SHARE] for mention, own in asked.items()}
    reported = [pair for own in asked.values() for i, pair in enumerate(own) if i % CHOICE_SHARE]
    statistics = latent_statistics(bench, [pair.ids for own in choice.values() for pair in own])
    labelled = {mention: _labelled(bench, mention) for mention in asked}
    chosen = {mention: _chosen(bench, own) for mention, own in choice.items()}
    groups = {"labelled": labelled, "chosen": chosen}
    twins = {
        name: {mention: twins_of(latents, statistics, seed=seed) for mention, latents in of.items()}
        for name, of in groups.items()
    }
    moved = _moved(bench, reported, groups, twins)
    audited = [mention for mention in asked if mention != IRRELEVANT]
    removals = _removals(bench, groups, twins, audited)
    after = {name: remove(reported) for name, remove in removals.items()}
    return {
        "n_latents": {name: {mention: len(latents) for mention, latents in of.items()} for name, of in groups.items()},
        "pairs": [
            {
                "mention": mention_of(pair.pair),
                "words": words_of(pair.pair)[0],
                "sign": words_of(pair.pair)[1],
                "template": pair.pair.template,
                "metric": pair.metric,
                "total_effect": pair.total_effect,
                "moved": moved[i],
                "after": {name: of[i] for name, of in after.items()},
            }
            for i, pair in enumerate(reported)
        ],
    }


def _labelled(bench: Workbench, mention: str) -> list[Latent]:
    """Latents whose label is a concept of the mention."""
    return [
        (site, feature)
        for site, labels in bench.labels.items()
        for feature, label in sorted(labels.items())
        if _label_mention(label.text) == mention
    ]


def _label_mention(label: str) -> str | None:
    if label in ("demo:man", "demo:woman"):
        return "sex"
    family = family_of(label)
    return "age" if family == "demo" else family if family else None


def _chosen(bench: Workbench, choice: Sequence[AskedPair]) -> list[Latent]:
    """Latents whose estimated effects have the largest mean size, at all tokens together."""
    attributions, _ = attribute(bench, choice)
    sizes: dict[Latent, float] = defaultdict(float)
    for attribution in attributions:
        for latent, effect in summed_shares(attribution, 1.0).items():
            sizes[latent] += abs(effect)
    return sorted(sizes, key=lambda latent: -sizes[latent])[:N_CHOSEN]


LatentsByMention = Mapping[str, Sequence[Latent]]


def _moved(
    bench: Workbench,
    pairs: Sequence[AskedPair],
    groups: Mapping[str, LatentsByMention],
    twins: Mapping[str, LatentsByMention],
) -> list[dict[str, float]]:
    """Effect on m of moving some nodes of every pair to the changed prompt's values; those of no latent are missing."""
    patches: list[dict[str, Patch]] = []
    for pair in pairs:
        mention, every = mention_of(pair.pair), torch.arange(1, len(pair.ids))
        named: dict[str, Patch] = {}
        for name, of in groups.items():
            if of[mention]:
                named[name] = move_latents(of[mention], every)
                named[f"{name} twins"] = move_latents(twins[name][mention], every)
        for name, node in (("errors", ERROR), ("features", FEATURES)):
            named[name] = {site: Moves.everywhere(every, torch.tensor([node])) for site in bench.dictionaries}
        at_mention = torch.cat([pair.mention, pair.changed_mention]).unique()
        named["dense"] = {site: Moves.everywhere(at_mention, torch.tensor([WHOLE])) for site in bench.dictionaries}
        patches.append(named)
    order = [(i, patch) for i, named in enumerate(patches) for patch in named.values()]
    metrics = iter(moved_metrics(bench, pairs, order).tolist())
    return [{name: next(metrics) - pair.metric for name in named} for pair, named in zip(pairs, patches, strict=True)]


Removal = Callable[[Sequence[AskedPair]], list[dict[str, Any]]]


def _removals(
    bench: Workbench,
    groups: Mapping[str, LatentsByMention],
    twins: Mapping[str, LatentsByMention],
    audited: Sequence[str],
) -> dict[str, Removal]:
    """Ways to take mentions away, from pairs to m and the answer of both prompts."""

    def united(of: LatentsByMention) -> list[Latent]:
        return sorted({latent for mention in audited for latent in of[mention]})

    def ablating(latents: Sequence[Latent]) -> Removal:
        return lambda pairs: _answered(bench, pairs, _both_ids(pairs), latents)

    removals: dict[str, Removal] = {"nothing": ablating([])}
    for name, of in groups.items():
        removals[f"ablate {name}"] = ablating(united(of))
        removals[f"ablate {name} twins"] = ablating(united(twins[name]))
    removals["delete tokens"] = lambda pairs: _answered(bench, pairs, _without_mentions(pairs), [])
    removals["ask"] = lambda pairs: _answered(bench, pairs, _with_hint(bench, pairs), [])
    return removals


Rows = list[Int[Tensor, " _"]]


def _both_ids(pairs: Sequence[AskedPair]) -> Rows:
    return [ids for pair in pairs for ids in (pair.ids, pair.changed_ids)]


def _without_mentions(pairs: Sequence[AskedPair]) -> Rows:
    """The prompts without the tokens that name what is changed."""
    rows = []
    for pair in pairs:
        for ids, mention in ((pair.ids, pair.mention), (pair.changed_ids, pair.changed_mention)):
            rows.append(ids[~torch.isin(torch.arange(len(ids)), mention)])
    return rows


def _with_hint(bench: Workbench, pairs: Sequence[AskedPair]) -> Rows:
    return [bench.host.tokenise(HINT + text) for pair in pairs for text in (pair.pair.prompt, pair.pair.changed_prompt)]


@torch.no_grad()
def _answered(
    bench: Workbench, pairs: Sequence[AskedPair], rows: Rows, ablated: Sequence[Latent]
) -> list[dict[str, Any]]:
    """m and whether the right answer is the likeliest, after either prompt, with some latents set to 0 everywhere."""

    def run(chosen: Int[Tensor, " rows"]) -> Tensor:
        batch = bench.host.batch([rows[i] for i in chosen.tolist()])
        edits = _ablation(bench, ablated, batch)
        return bench.host.forward(batch, edits, logits_to_keep=1).logits[:, -1].float().cpu()

    logits = torch.cat(in_passes(len(rows), rows_per_pass(rows), run)).unflatten(0, (len(pairs), 2))
    return [
        {
            "metrics": pair.metric_of(both).tolist(),
            "right": [token == pair.target for token in both.argmax(dim=-1).tolist()],
            "same": both[0].argmax().item() == both[1].argmax().item(),
        }
        for pair, both in zip(pairs, logits, strict=True)
    ]


def _ablation(bench: Workbench, latents: Sequence[Latent], batch: TokenBatch) -> Mapping[Site, Edit]:
    """x' = x - sum of f * W_dec[f] over some latents, at every token that carries nodes."""
    by_site: dict[Site, list[int]] = defaultdict(list)
    for site, feature in latents:
        by_site[site].append(feature)

    def edit_of(site: Site) -> Callable[[Tensor, Tensor], Tensor]:
        dictionary, ids = bench.dictionaries[site], torch.tensor(by_site[site], device=bench.host.device)
        directions = decoder_rows_of(dictionary, ids)

        def edit(read: Float[Tensor, "rows seq d_model"], x: Float[Tensor, "rows seq d_model"]) -> Tensor:
            acts = dictionary.encode_features(read.float(), ids) * batch.node_mask[..., None]
            return (x.float() - acts @ directions).to(x.dtype)

        return edit

    reads = {site: read for site, read in input_sites_of(bench.dictionaries).items() if site in by_site}
    return host_edits({site: edit_of(site) for site in by_site}, reads)
