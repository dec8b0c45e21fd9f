"""`circuits discover --dry-run`: what a discovery would cost, before it is made.

Passes are counted in rows, one prompt each; the time of a row is measured on the prompt itself, so the estimate holds
for this model on this machine. Passes that run the last layers only are counted as whole ones.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from circuits.evaluation.learned_mask import MaskTraining
from circuits.evaluation.selection import N_NULL_DRAWS, SIZES_MEASURED
from circuits.question import Question
from circuits.runs.runs import Runs
from circuits.settings import DiscoverySettings
from circuits.workbench import Workbench
from sae.dictionary.autoencoder import SAE

__all__ = ["CostEstimate", "estimate_cost"]

FLOAT_BYTES = 4
STREAMS_PER_LAYER = 12
"""Activations as wide as the stream that a layer holds at a time, about."""


@dataclass(frozen=True)
class CostEstimate:
    """What a discovery takes, about."""

    prompts: int
    tokens_per_prompt: int
    references: int
    """Of each prompt."""
    forward_rows: dict[str, int]
    """Prompts run forward, by stage."""
    backward_rows: dict[str, int]
    """Prompts run forward and backward, by stage."""
    seconds: float
    """All passes, without loading."""
    memory_bytes: int
    """Weights, dictionaries, kept activations, and the largest pass."""

    def to_json(self) -> dict[str, Any]:
        """As printed with `--json`."""
        return asdict(self)


def estimate_cost(question: Question, settings: DiscoverySettings, bench: Workbench) -> CostEstimate:
    """Count the passes of a discovery and time one of each kind.

    Args:
        question: What would be explained; its first prompt is run.
        settings: How.
        bench: The model with its dictionaries.

    Raises:
        ValueError: As the discovery itself would, for the first prompt.
    """
    first, n_prompts = question.sample(bench, baseline=settings.baseline, seed=settings.seed)
    per, n_references, n_sites = first.batch.n_rows, first.baseline.n_references, len(first.sites)
    n_circuits = N_NULL_DRAWS + 2 + (SIZES_MEASURED if settings.wanted_faithfulness is not None else 1)
    forward = {
        "runs": n_prompts * (per + n_references),
        "residuals": n_prompts * n_sites * n_references * per,
        "selection": n_prompts * n_circuits * n_references * per,
        "edges": 0 if settings.nodes_only else n_prompts,
        "contexts": len(question.context_prompts(bench, [first.behaviour] * n_prompts, seed=settings.seed)),
    }
    backward = {"nodes": n_prompts * per * _points(settings, n_references) * (n_sites if _walks(settings) else 1)}
    if settings.method == "exact":
        forward["nodes"] = n_prompts * per * n_references * _differing(first)
    if settings.method == "mask":
        backward["mask"] = n_prompts * per * MaskTraining().steps
    row_seconds, pass_seconds = _seconds(lambda: _forward(first)), _seconds(lambda: _backward(first))
    return CostEstimate(
        n_prompts,
        first.n_positions,
        n_references,
        forward,
        backward,
        sum(forward.values()) * row_seconds + sum(backward.values()) * pass_seconds,
        _memory(bench, first, n_prompts),
    )


def _walks(settings: DiscoverySettings) -> bool:
    """Whether each site has a path of its own."""
    return settings.effect_options["method"] == "integrated_gradients"


def _points(settings: DiscoverySettings, n_references: int) -> int:
    if not _walks(settings):
        return 1
    return settings.ig_steps if n_references == 1 else n_references


def _differing(runs: Runs) -> int:
    """Nodes that are active on either side, errors included."""
    found = 0
    for site in runs.sites:
        keys = torch.cat([runs.clean_features[site].key, runs.baseline.features[site].key])
        found += len(keys.unique()) + int(runs.at_nodes.sum())
    return found


def _rows(runs: Runs) -> int:
    return min(8, runs.rows_per_pass())


def _forward(runs: Runs) -> int:
    n = _rows(runs)
    runs.host.forward(runs.batch.repeat(n), logits_to_keep=runs.behaviour.kept_logits)
    return n * runs.batch.n_rows


def _backward(runs: Runs) -> int:
    n, behaviour = _rows(runs), runs.behaviour
    runs.host.gradients(runs.batch.repeat(n), runs.sites, behaviour.metric, logits_to_keep=behaviour.kept_logits)
    return n * runs.batch.n_rows


def _seconds(run: Callable[[], int]) -> float:
    """Wall time of a row; the first pass warms up."""
    run()
    start = time.perf_counter()
    n_rows = run()
    return (time.perf_counter() - start) / n_rows


def _memory(bench: Workbench, runs: Runs, n_prompts: int) -> int:
    host = bench.host
    dictionaries = sum(
        sae.encoder_rows.nbytes + sae.decoder_rows.nbytes for sae in bench.dictionaries.values() if isinstance(sae, SAE)
    )
    stream = runs.n_positions * host.d_model * FLOAT_BYTES
    kept = n_prompts * len(runs.sites) * stream * (2 + runs.baseline.n_references)
    rows = runs.rows_per_pass() * runs.batch.n_rows
    widest = STREAMS_PER_LAYER * stream * host.n_layers + runs.behaviour.kept_logits * host.vocab_size * FLOAT_BYTES
    return host.parameter_bytes + dictionaries + kept + rows * widest
