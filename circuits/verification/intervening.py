"""Runs with nodes changed by hand, beside the run as it was.

    x' = x + sum over changed features of (f' - f) * W_dec[f] + (error' - error)

with f and error those of the current run, which earlier interventions may have moved. A node that is set to its
baseline is run once under each reference, and numbers are means over the references.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.evaluation.kept_share import resampling_weights
from circuits.graph.circuit import Circuit
from circuits.reopening import reopen
from circuits.runs.dictionaries import decoder_rows_of
from circuits.runs.ensemble import Ensemble
from circuits.runs.runs import Runs
from circuits.verification.interventions import Intervention
from circuits.verification.random_twins import node_positions_of, random_twins
from circuits.workbench import Workbench
from sae.host.host import HostModel
from sae.host.reading_edits import ReadingEdit, host_edits
from sae.host.sites import Site

__all__ = ["AnswerChange", "intervene", "run_interventions"]

TOP_TOKENS = 5
NULL_DRAWS = 10


@dataclass(frozen=True)
class AnswerChange:
    """What interventions did to the answer; means over the prompts of a circuit."""

    metric_before: float
    metric_after: float
    interval: tuple[float, float] | None
    """95 % interval of the metric's change over prompts, or over references of a lone one; None for a single run."""
    null: float | None
    """Mean absolute change of the metric where the same is done to random features that are active there; None where
    errors alone are changed, or no other feature is active."""
    kl: float
    """KL(before || after) of the next token's distribution, in nats, at least 0."""
    tokens: Sequence[tuple[str, float, float]]
    """Likeliest next tokens of either side, with their probabilities before and after."""

    def to_json(self) -> dict[str, Any]:
        """The numbers by name."""
        change = {
            "value": self.metric_after - self.metric_before,
            "interval": None if self.interval is None else list(self.interval),
            "null": self.null,
        }
        return {
            "metric": {"before": self.metric_before, "after": self.metric_after, "change": change},
            "kl": self.kl,
            "tokens": [{"token": token, "before": before, "after": after} for token, before, after in self.tokens],
        }


def intervene(
    circuit: Circuit | Path | str,
    interventions: Sequence[Intervention],
    *,
    top_tokens: int = TOP_TOKENS,
    seed: int = 0,
    workbench: Workbench | None = None,
    model: str | Path | HostModel | None = None,
    device: str | None = None,
) -> AnswerChange:
    """Run a circuit's prompt with some nodes changed; they need not be nodes of the circuit.

    Args:
        circuit: As `circuits discover` wrote it, or where.
        interventions: At most one on a node.
        top_tokens: How many of the likeliest next tokens of each side to report.
        seed: Of the interval and of the null.
        workbench: The model with its dictionaries, if it is loaded already.
        model: The model, where it is not where the circuit says.
        device: Where it runs; by default where it did.

    Raises:
        ValueError: There is no intervention, one names what does not exist or carries no nodes, or two meet.
    """
    loaded = circuit if isinstance(circuit, Circuit) else Circuit.load(circuit)
    ensemble = reopen(loaded, workbench=workbench, model=model, device=device).ensemble
    return run_interventions(ensemble, interventions, top_tokens=top_tokens, seed=seed)


def run_interventions(
    ensemble: Ensemble, interventions: Sequence[Intervention], *, top_tokens: int = TOP_TOKENS, seed: int = 0
) -> AnswerChange:
    """The same on runs that are open already."""
    _check(ensemble, interventions)
    metrics, divergences, before, after = [], [], [], []
    for runs, logits in zip(ensemble.runs, _changed_logits(ensemble, interventions), strict=True):
        plain = runs.host.forward(runs.batch, logits_to_keep=runs.behaviour.kept_logits).logits
        old, new = (x[:: runs.behaviour.rows_per_prompt, 0].float().log_softmax(dim=-1) for x in (plain, logits))
        metrics.append(runs.behaviour.metric(logits))
        divergences.append((old.exp() * (old - new)).sum(dim=-1).mean().item())
        before.append(old[0].exp())
        after.append(new.exp().mean(dim=0))
    changes = _changes(ensemble, metrics)
    return AnswerChange(
        ensemble.clean_metric,
        ensemble.clean_metric + changes.mean().item(),
        _interval(changes, ensemble.groups, seed),
        _null(ensemble, interventions, seed),
        max(0.0, sum(divergences) / len(divergences)),
        _likeliest(ensemble, torch.stack(before).mean(dim=0), torch.stack(after).mean(dim=0), top_tokens),
    )


def _changes(ensemble: Ensemble, metrics: Sequence[Float[Tensor, " references"]]) -> Float[Tensor, " units"]:
    """Change of m in each prompt, or under each reference of a lone one."""
    per_run = [m.cpu() - runs.clean_metric for m, runs in zip(metrics, ensemble.runs, strict=True)]
    return per_run[0] if ensemble.is_lone else torch.stack([changes.mean() for changes in per_run])


def _interval(changes: Float[Tensor, " units"], groups: Sequence[str] | None, seed: int) -> tuple[float, float] | None:
    weights = resampling_weights(len(changes), groups, seed=seed)
    if weights is None:
        return None
    low, high = (weights @ changes).quantile(torch.tensor([0.025, 0.975])).tolist()
    return low, high


def _null(ensemble: Ensemble, interventions: Sequence[Intervention], seed: int) -> float | None:
    drawn = random_twins(ensemble, interventions, n_draws=NULL_DRAWS, seed=seed)
    sizes = []
    for twins in drawn:
        logits = _changed_logits(ensemble, twins)
        metrics = [runs.behaviour.metric(x) for runs, x in zip(ensemble.runs, logits, strict=True)]
        sizes.append(abs(_changes(ensemble, metrics).mean().item()))
    return sum(sizes) / len(sizes) if sizes else None


def _likeliest(
    ensemble: Ensemble, before: Float[Tensor, " vocab"], after: Float[Tensor, " vocab"], n: int
) -> list[tuple[str, float, float]]:
    n = min(n, len(before))
    shown = torch.cat([before.topk(n).indices, after.topk(n).indices]).tolist()
    decode = ensemble.first.host.tokenizer.decode
    return [(decode([token]), before[token].item(), after[token].item()) for token in dict.fromkeys(shown)]


def _check(ensemble: Ensemble, interventions: Sequence[Intervention]) -> None:
    if not interventions:
        raise ValueError(
            "no intervention was given, expected at least one; add --set, --scale, --ablate, --to-baseline"
        )
    n_places = len(ensemble.places.names)
    for index, each in enumerate(interventions):
        dictionary = ensemble.dictionaries.get(each.site)
        if dictionary is None:
            sites = ", ".join(map(str, ensemble.sites))
            raise ValueError(f"node {each.node} is at {each.site}, which has no dictionary; expected one of {sites}")
        if each.feature is not None and each.feature >= dictionary.d_sae:
            raise ValueError(f"node {each.node} does not exist, expected a feature below {dictionary.d_sae}")
        if each.position is not None and each.position >= n_places:
            raise ValueError(f"node {each.node} does not exist, expected a position below {n_places}")
        if each.position is not None and not any(
            (runs.at_nodes.cpu() & (place.cpu() == each.position)).any()
            for runs, place in zip(ensemble.runs, ensemble.places.of_position, strict=True)
        ):
            raise ValueError(f"position {each.position} of node {each.node} carries no nodes, expected one after BOS")
        for other in interventions[:index]:
            same = (other.site, other.feature) == (each.site, each.feature)
            if same and (None in (other.position, each.position) or other.position == each.position):
                raise ValueError(f"{other.node} and {each.node} meet, expected one intervention on a node; drop one")


def _changed_logits(
    ensemble: Ensemble, interventions: Sequence[Intervention]
) -> Iterator[Float[Tensor, "rows kept vocab"]]:
    """Of each prompt: a row a reference where a node is set to its baseline, else one."""
    uses_baseline = any(each.operation == "to_baseline" for each in interventions)
    for index, runs in enumerate(ensemble.runs):
        n_references = runs.baseline.n_references if uses_baseline else 1
        edits: dict[Site, ReadingEdit] = {}
        for site in {each.site for each in interventions}:
            own = [(each, node_positions_of(ensemble, index, each)) for each in interventions if each.site == site]
            edits[site] = _edit(runs, site, own, n_references)
        batch = runs.batch.repeat(n_references)
        of_host = host_edits(edits, runs.input_sites)
        yield runs.host.forward(batch, of_host, logits_to_keep=runs.behaviour.kept_logits).logits


def _edit(
    runs: Runs, site: Site, interventions: Sequence[tuple[Intervention, Bool[Tensor, " seq"]]], n_references: int
) -> ReadingEdit:
    """All interventions of one site as one edit."""
    dictionary, n = runs.dictionaries[site], runs.n_positions
    per_prompt = runs.behaviour.rows_per_prompt

    def edit(read: Float[Tensor, "rows full d_model"], x: Float[Tensor, "rows full d_model"]) -> Tensor:
        acts = dictionary.encode(read[:, :n].float())
        error = x[:, :n].float() - dictionary.decode(acts)
        change = torch.zeros_like(error)
        for each, at in interventions:
            now = error if each.feature is None else acts[..., each.feature]
            base = baselines[each.node].repeat_interleave(per_prompt, dim=0) if each.node in baselines else now
            moved = _changed(each, now, base) - now
            if each.feature is not None:
                moved = moved[..., None] * decoder_rows_of(dictionary, torch.tensor([each.feature], device=x.device))[0]
            change += moved * at[:, None]
        return torch.cat([x[:, :n] + change.to(x.dtype), x[:, n:]], dim=1)

    baselines = _baselines(runs, site, [each for each, _ in interventions], n_references)
    return edit


def _baselines(
    runs: Runs, site: Site, interventions: Sequence[Intervention], n_references: int
) -> Mapping[str, Float[Tensor, "references ..."]]:
    """What the nodes that are set to their baseline are set to."""
    found = {}
    for each in interventions:
        if each.operation == "to_baseline" and each.feature is not None:
            own = torch.tensor([each.feature], device=runs.at_nodes.device)
            found[each.node] = runs.baseline.features[site].columns(own)[..., 0]
        elif each.operation == "to_baseline":
            found[each.node] = torch.stack([runs.baseline_error(site, r) for r in range(n_references)])
    return found


def _changed(intervention: Intervention, now: Tensor, baseline: Tensor) -> Tensor:
    """What a node's value becomes."""
    value = intervention.value
    if intervention.operation == "set":
        return torch.full_like(now, value or 0.0)
    if intervention.operation == "scale":
        return now * (1.0 if value is None else value)
    return torch.zeros_like(now) if intervention.operation == "ablate" else baseline
