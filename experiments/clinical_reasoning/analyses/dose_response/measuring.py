"""What the model and its latents say to every dose of every series."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.runs.dictionaries import input_sites_of
from circuits.runs.passes import in_passes
from circuits.workbench import Workbench
from experiments.clinic.knowledge import FINDINGS
from experiments.clinical_reasoning.analyses.dose_response.series import Series, dose_series, finding_of
from experiments.clinical_reasoning.analysis import NothingToAnalyseError
from experiments.clinical_reasoning.asked_pairs import AskedPair, ask, rows_per_pass
from experiments.clinical_reasoning.attributed_latents import (
    Latent,
    attribute,
    by_falling_share,
    move_latents,
    summed_shares,
)
from experiments.clinical_reasoning.latent_labels import label_texts
from experiments.clinical_reasoning.matched_latents import latent_statistics
from experiments.clinical_reasoning.null_patches import pushed_along_twins, random_latents, twins_of
from experiments.clinical_reasoning.patching import ERROR, WHOLE, Moves, Patch, moved_metrics
from experiments.clinical_reasoning.subject import Subject
from experiments.clinical_reasoning.vignette_pair import PairSource

__all__ = ["N_LATENTS", "measure"]

N_LATENTS = 5
"""Latents of a finding that are moved together."""
CHOICE = 10
"""Pairs of a finding at most that choose its latents."""
MIN_CHOICE = 3
"""Fewer choose none, and the finding is left out."""
DRAWS = 16
"""Pairs drawn at most, for each that is wanted: values of some quantities seldom decide."""
BATCH = 60
N_OTHERS = 5
"""Random latents that differ at the value's tokens, beside the one that was chosen."""

MEASURED = tuple(name for name, finding in FINDINGS.items() if finding.measurement is not None)


@dataclass(frozen=True)
class _Latents:
    """Latents of a finding: those that carry most, the sign of the first, and their nulls."""

    top: Sequence[Latent]
    direction: int
    """1 where the first is more active with the finding than without it, else -1."""
    twins: Sequence[Latent]
    others: Sequence[Latent]


def measure(subject: Subject, *, size: int, seed: int) -> dict[str, Any]:
    """Curves of about `size` series, as many of each measured quantity as can be had.

    A series begins with a pair whose value crosses its threshold and that the model answers right on both sides. m is
    the logit of the answer that needs the finding less that of the other.

    Raises:
        NothingToAnalyseError: No quantity has a series, and other pairs to choose its latents on.
    """
    bench = subject.workbench
    reported, choice, counts = _drawn(bench, subject.pairs, size, seed)
    findings = [f for f in MEASURED if reported[f] and len(choice[f]) >= MIN_CHOICE]
    if not findings:
        raise NothingToAnalyseError(f"no measured quantity has pairs that are answered right, expected some: {counts}")
    choosing = [pair for finding in findings for pair in choice[finding]]
    statistics = latent_statistics(bench, [pair.ids for pair in choosing])
    ranked = _ranked(bench, findings, choosing)
    series = [dose_series(bench.host.tokenizer, pair.pair) for f in findings for pair in reported[f]]
    records = []
    for finding in findings:
        top, rest = ranked[finding][:N_LATENTS], ranked[finding][N_LATENTS:]
        chosen = _Latents(
            top,
            _direction(bench, top[0], choice[finding]),
            twins_of(top, statistics, seed=seed),
            random_latents(rest, N_OTHERS, seed=seed),
        )
        records += _curves(bench, [each for each in series if each.finding == finding], chosen)
    return {
        "counts": counts,
        "latents": {
            finding: [
                {"site": str(site), "feature": feature, "label": label}
                for (site, feature), label in zip(top, label_texts(bench, top), strict=True)
            ]
            for finding, top in ((finding, ranked[finding][:N_LATENTS]) for finding in findings)
        },
        "series": records,
    }


def _drawn(
    bench: Workbench, source: PairSource, size: int, seed: int
) -> tuple[Mapping[str, list[AskedPair]], Mapping[str, list[AskedPair]], dict[str, dict[str, int]]]:
    """Pairs to report and other pairs to choose on, by finding; of a finding the first ones are reported."""
    wanted = max(1, size // len(MEASURED))
    reported: dict[str, list[AskedPair]] = defaultdict(list)
    choice: dict[str, list[AskedPair]] = defaultdict(list)
    drawn, wrong, seen = Counter[str](), Counter[str](), set[str]()
    stream = islice(source.pairs("value", seed=seed), DRAWS * size)
    while batch := list(islice(stream, BATCH)):
        missing = [pair for pair in batch if len(choice[finding_of(pair)]) < CHOICE and not {pair.prompt} & seen]
        seen |= {text for pair in batch for text in (pair.prompt, pair.changed_prompt)}
        for asked in ask(bench.host, missing):
            finding = finding_of(asked.pair)
            drawn[finding] += 1
            wrong[finding] += not asked.is_right
            if asked.is_right:
                (reported if len(reported[finding]) < wanted else choice)[finding].append(asked)
        if all(len(choice[finding]) >= CHOICE for finding in MEASURED):
            break
    counts = {finding: {"drawn": drawn[finding], "wrong": wrong[finding]} for finding in MEASURED}
    return reported, choice, counts


def _ranked(bench: Workbench, findings: Sequence[str], choosing: Sequence[AskedPair]) -> dict[str, list[Latent]]:
    """Of each finding the latents that carry its effect at the value's tokens, by estimate, the largest first."""
    attributions, _ = attribute(bench, choosing)
    summed: dict[str, dict[Latent, float]] = {finding: defaultdict(float) for finding in findings}
    for pair, attribution in zip(choosing, attributions, strict=True):
        for latent, share in summed_shares(attribution, pair.total_effect, _value_tokens(pair)).items():
            summed[finding_of(pair.pair)][latent] += share
    return {finding: by_falling_share(shares) for finding, shares in summed.items()}


def _value_tokens(pair: AskedPair) -> Int[Tensor, " places"]:
    return torch.cat([pair.mention, pair.changed_mention]).unique()


def _direction(bench: Workbench, latent: Latent, choice: Sequence[AskedPair]) -> int:
    """1 where the latent is more active with the finding than without it, else -1."""
    before = _activations(bench, latent, [p.ids for p in choice], [p.mention for p in choice])
    after = _activations(bench, latent, [p.changed_ids for p in choice], [p.changed_mention for p in choice])
    is_lost = torch.tensor([p.pair.changed_from.startswith("pos:") for p in choice])
    return 1 if torch.where(is_lost, before - after, after - before).sum() >= 0 else -1


@torch.no_grad()
def _activations(
    bench: Workbench, latent: Latent, rows: Sequence[Int[Tensor, " _"]], places: Sequence[Int[Tensor, " _"]]
) -> Float[Tensor, " rows"]:
    """A latent's activation in each row, summed over the row's places."""
    site, feature = latent
    dictionary, read = bench.dictionaries[site], input_sites_of(bench.dictionaries)[site]
    device = bench.host.device

    def run(chosen: Int[Tensor, " rows"]) -> Tensor:
        batch = bench.host.batch([rows[i] for i in chosen.tolist()])
        captured = bench.host.capture(batch, {read})[read]
        acts = dictionary.encode_features(captured.float(), torch.tensor([feature], device=device))[..., 0]
        shift = [acts.shape[1] - len(rows[i]) for i in chosen.tolist()]
        own = [acts[r, (places[i] + shift[r]).to(device)].sum() for r, i in enumerate(chosen.tolist())]
        return torch.stack(own).cpu()

    return torch.cat(in_passes(len(rows), rows_per_pass(rows), run))


def _curves(bench: Workbench, series: Sequence[Series], chosen: _Latents) -> list[dict[str, Any]]:
    """m and latents at every dose, and m where only some nodes of the base are moved to what they are at the dose."""
    asked = ask(bench.host, [pair for each in series for pair in each.pairs])
    patches = [_conditions(pair, chosen, bench) for pair in asked]
    order = [(i, patch) for i, named in enumerate(patches) for patch in named.values()]
    moved = iter(moved_metrics(bench, asked, order).tolist())
    # m of an asked pair is of its base's answer; here it is of the answer that needs the finding
    effects = [{name: pair.metric - next(moved) for name in named} for pair, named in zip(asked, patches, strict=True)]
    ids, places = [pair.changed_ids for pair in asked], [pair.changed_mention for pair in asked]
    latents = [chosen.top[0], chosen.twins[0], *chosen.others]
    acts = torch.stack([_activations(bench, latent, ids, places) for latent in latents])
    records, start = [], 0
    for each in series:
        part = slice(start, start + len(each.pairs))
        start = part.stop
        records.append(
            {
                "finding": each.finding,
                "template": each.base.template,
                "doses": list(each.doses),
                "is_present": list(each.is_present),
                "base_metric": -asked[part][0].metric,
                "metric": [-pair.changed_metric for pair in asked[part]],
                "activation": (chosen.direction * acts[0, part]).tolist(),
                "twin_activation": acts[1, part].tolist(),
                "other_activations": acts[2:, part].tolist(),
                "moved": {name: [effect[name] for effect in effects[part]] for name in patches[0]},
            }
        )
    return records


def _conditions(pair: AskedPair, chosen: _Latents, bench: Workbench) -> dict[str, Patch]:
    """What of the base is moved to the dose, at the value's tokens."""
    positions = _value_tokens(pair)
    one, several = (move_latents(latents, positions) for latents in (chosen.top[:1], chosen.top))
    return {
        "latent": one,
        "latents": several,
        "twin": pushed_along_twins(one, chosen.top[:1], chosen.twins[:1]),
        "twins": pushed_along_twins(several, chosen.top, chosen.twins),
        "errors": {site: Moves.everywhere(positions, torch.tensor([ERROR])) for site in bench.dictionaries},
        "dense": {site: Moves.everywhere(positions, torch.tensor([WHOLE])) for site in bench.dictionaries},
    }
