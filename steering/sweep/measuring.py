"""One method at all strengths, on all prompts and unrelated texts: numbers by strength and prompt or text."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float64
from torch import Tensor

from sae.host.host import HostModel
from sae.host.sites import Site
from sae.progress import progress
from steering.dictionaries import Dictionaries
from steering.fluency import breaks_off, continuation_losses, distinct_bigrams, repetition
from steering.positions import PromptTokens
from steering.side_effects import divergence_of_others, features_moved, side_effects
from steering.sweep.methods import Continuation, Method
from steering.sweep.prompts import TargetPrompts
from steering.sweep.unrelated_text import UnrelatedText
from steering.target_effects import lexicon_hits, target_effects

__all__ = ["MeasuredMethod", "Watched", "measure_method"]

BATCH_TOKENS = 8192
Item = TypeVar("Item")
Columns = dict[str, Float64[Tensor, "strengths units"]]


@dataclass(frozen=True, eq=False)
class Watched:
    """The dictionaries after the edited site, of which it is counted how many features move.

    Attributes:
        dictionaries: Of the host.
        sites: None where no dictionary comes after the edited site.
    """

    dictionaries: Dictionaries
    sites: tuple[Site, ...]

    @classmethod
    def after(cls, dictionaries: Dictionaries, site: Site) -> "Watched":
        """The stream after the layers that follow a site, measured on reference text all at once."""
        sites = tuple(dictionaries.stream_sites(after=site))
        dictionaries.measure(sites)
        return cls(dictionaries, sites)


@dataclass(frozen=True, eq=False)
class MeasuredMethod:
    """What a method did.

    Attributes:
        name: Of the method.
        unit: Of its strengths.
        strengths: From none upwards.
        norm_ratios: Measured |change| / |x| at each strength, the mean over prompts; None where nothing is edited.
        of_prompts: Numbers by strength and prompt: `is_top`, `log_odds`, `divergence_of_others` where the answer is
            due, and of the continuation `loss` (summed over `n_tokens`), `repetition`, `distinct_bigrams`,
            `breaks_off`, `has_lexicon`. NaN where there is none.
        of_texts: Numbers by strength and unrelated text, means over its tokens: `divergence`, `delta_ce`, `agrees`,
            and `features_moved` where there is something to watch.
        texts: The continuations, by strength and prompt.
    """

    name: str
    unit: str
    strengths: tuple[float, ...]
    norm_ratios: tuple[float | None, ...]
    of_prompts: Mapping[str, Float64[Tensor, "strengths prompts"]]
    of_texts: Mapping[str, Float64[Tensor, "strengths texts"]]
    texts: tuple[tuple[str, ...], ...]


@torch.no_grad()
def measure_method(
    host: HostModel,
    method: Method,
    strengths: Sequence[float],
    asked: TargetPrompts,
    unrelated: Sequence[UnrelatedText],
    watched: Watched,
    *,
    lexicon: Sequence[str],
    max_new_tokens: int,
) -> MeasuredMethod:
    """Run a method over its strengths; all strengths of a prompt share a batch with the plain run, which is the first.

    Args:
        host: The model.
        method: The method.
        strengths: Beginning with 0.
        asked: Prompts and target.
        unrelated: Texts that it should leave alone.
        watched: Where features are counted that move.
        lexicon: Words of the target that a continuation may use.
        max_new_tokens: Of a continuation.

    Raises:
        ValueError: The method cannot be carried out, or something does not fit into the context.
    """
    answers = _joined(
        _answers(method, strengths, [asked.prompts[index] for index in group], group, asked)
        for group in _groups([len(prompt.ids) for prompt in asked.prompts], len(strengths), method.name)
    )
    ratios = answers.pop("norm_ratio")
    texts, of_texts = _continued(host, method, strengths, asked.prompts, lexicon, max_new_tokens)
    return MeasuredMethod(
        method.name,
        method.unit,
        tuple(strengths),
        tuple(None if row.isnan().all() else float(row.nanmean()) for row in ratios),
        {**answers, **of_texts},
        _joined(
            _side_effects(method, strengths, [unrelated[index] for index in group], group, watched)
            for group in _groups([len(each.prompt.ids) for each in unrelated], len(strengths), method.name)
        ),
        texts,
    )


def _groups(lengths: Sequence[int], n_strengths: int, description: str) -> Iterator[list[int]]:
    """Prompts of like length, whose runs at all strengths fit into a batch."""
    groups: list[list[int]] = [[]]
    for index in sorted(range(len(lengths)), key=lambda each: lengths[each]):
        if groups[-1] and (len(groups[-1]) + 1) * n_strengths * lengths[index] > BATCH_TOKENS:
            groups.append([])
        groups[-1].append(index)
    return iter(progress(groups, description, unit="batch"))


def _rows(items: Sequence[Item], strengths: Sequence[float]) -> tuple[list[Item], list[float]]:
    """Row `k * items + i` is item `i` at strength `k`."""
    return list(items) * len(strengths), [strength for strength in strengths for _ in items]


def _joined(parts: Iterator[tuple[list[int], Columns]]) -> Columns:
    """Groups put together in the order of their units."""
    found = list(parts)
    order = torch.tensor([index for group, _ in found for index in group]).argsort()
    return {name: torch.cat([columns[name] for _, columns in found], dim=1)[:, order] for name in found[0][1]}


def _answers(
    method: Method, strengths: Sequence[float], prompts: Sequence[PromptTokens], group: list[int], asked: TargetPrompts
) -> tuple[list[int], Columns]:
    """What is answered."""
    n_strengths, nothing = len(strengths), torch.zeros(0, dtype=torch.long)
    run = method.forward(*_rows(prompts, strengths), [nothing] * (len(prompts) * n_strengths))
    logits = run.logits[:, -1]
    target = torch.full((len(logits), 1), asked.target_id)
    found = target_effects(logits[:, None], target)
    plain = logits[: len(prompts)].repeat(n_strengths, 1)
    without = torch.cat([target, asked.answer_ids[group].repeat(n_strengths)[:, None]], dim=1)
    columns = {
        "is_top": found.is_top,
        "log_odds": found.log_odds,
        "divergence_of_others": divergence_of_others(logits, plain, without),
        "norm_ratio": torch.tensor([torch.nan if ratio is None else ratio for ratio in run.norm_ratios]),
    }
    return group, {name: _by_strength(values, n_strengths) for name, values in columns.items()}


def _side_effects(
    method: Method, strengths: Sequence[float], texts: Sequence[UnrelatedText], group: list[int], watched: Watched
) -> tuple[list[int], Columns]:
    """What changes on unrelated texts, the mean over each continuation's tokens."""
    n_strengths = len(strengths)
    prompts, values = _rows([each.prompt for each in texts], strengths)
    following = [each.continuation for each in texts] * n_strengths
    run = method.forward(prompts, values, following, capture=watched.sites)
    logits = run.logits[:, :-1]
    plain = logits[: len(texts)].repeat(n_strengths, 1, 1)
    found = side_effects(logits, plain, torch.stack(following).to(logits.device))
    columns = {"divergence": found.divergence, "delta_ce": found.delta_ce, "agrees": found.agrees.double()}
    if watched.sites:
        columns["features_moved"] = _moved(run.activations, len(texts), watched).double()
    return group, {name: _by_strength(each.mean(1), n_strengths) for name, each in columns.items()}


def _moved(activations: Mapping[Site, Tensor], n_texts: int, watched: Watched) -> Tensor:
    """Features of all watched sites that move, by row and predicted token."""
    counts = []
    for site in watched.sites:
        sae, known = watched.dictionaries.sae(site), watched.dictionaries.references(site)
        if isinstance(known, str) or known.deviations is None:
            raise ValueError(f"features of {site} cannot be watched: {known}; give --statistics CORPUS")
        acts = [sae.encode(part.float()) for part in activations[site][:, :-1].split(n_texts)]
        deviations = known.deviations.float().to(acts[0].device)
        counts.append(torch.cat([features_moved(each, acts[0], deviations) for each in acts]))
    return torch.stack(counts).sum(0)


def _continued(
    host: HostModel,
    method: Method,
    strengths: Sequence[float],
    prompts: Sequence[PromptTokens],
    lexicon: Sequence[str],
    max_new_tokens: int,
) -> tuple[tuple[tuple[str, ...], ...], Columns]:
    """The continuations, and how they read."""
    n_prompts = len(prompts)
    written: list[list[Continuation | None]] = [[None] * n_prompts for _ in strengths]
    for group in _groups([len(prompt.ids) + max_new_tokens for prompt in prompts], len(strengths), method.name):
        rows = method.generate(*_rows([prompts[index] for index in group], strengths), max_new_tokens=max_new_tokens)
        for row, each in enumerate(rows):
            written[row // len(group)][group[row % len(group)]] = each
    flat = [each for of_strength in written for each in of_strength if each is not None]
    before = [prompt.ids for prompt in prompts] * len(strengths)
    losses = continuation_losses(host, before, [each.new_ids for each in flat])
    plain_lengths = [len(each.new_ids) for each in flat[:n_prompts]] * len(strengths)
    columns = {
        "loss": [float(each.sum()) for each in losses],
        "n_tokens": [float(len(each)) for each in losses],
        "repetition": [repetition(each.new_ids) for each in flat],
        "distinct_bigrams": [distinct_bigrams(each.new_ids) for each in flat],
        "breaks_off": [
            float(breaks_off(len(each.new_ids), n_plain, has_ended=each.has_ended))
            for each, n_plain in zip(flat, plain_lengths, strict=True)
        ],
        "has_lexicon": lexicon_hits([each.text for each in flat], lexicon).double().tolist(),
    }
    texts = [tuple(each.text for each in flat[start : start + n_prompts]) for start in range(0, len(flat), n_prompts)]
    as_tensors = {name: torch.tensor(values, dtype=torch.float64) for name, values in columns.items()}
    return tuple(texts), {name: _by_strength(values, len(strengths)) for name, values in as_tensors.items()}


def _by_strength(values: Tensor, n_strengths: int) -> Float64[Tensor, "strengths units"]:
    return values.double().cpu().unflatten(0, (n_strengths, -1))
