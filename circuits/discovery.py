"""From a prompt, or many, to their circuit, stage by stage; see ARCHITECTURE.md for the way of the data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from circuits.assembly import assemble, kept_edges, node_tables
from circuits.effects.ensemble_effects import EnsembleEffects, score_ensemble
from circuits.effects.stage_cache import StageCache
from circuits.evaluation.learned_mask import learn_mask
from circuits.evaluation.selection import Ranking, Selection, select_nodes
from circuits.found_contrast import with_found_contrast
from circuits.graph.circuit import Circuit
from circuits.graph.recorded_contexts import context_records
from circuits.question import Question
from circuits.runs.ensemble import Ensemble
from circuits.runs.feature_contexts import feature_contexts
from circuits.runs.node_set import NodeSet
from circuits.settings import DiscoverySettings
from circuits.workbench import Workbench, open_workbench
from sae.command_line import Stopwatch
from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = ["discover"]

MOST_FEATURES_SHOWN = 200
"""Contexts are kept of this many of the strongest features, so that the file stays small."""


def discover(
    prompt: str | None = None,
    *,
    pairs: str | Path | None = None,
    keep_wrong: bool = False,
    model: str | Path | HostModel = "clinic",
    saes: str | Path | Mapping[Site, SAE] | None = None,
    sites: str | None = None,
    contrast: str | None = None,
    reference: str | Path | None = None,
    target: str | None = None,
    foil: str | None = None,
    chat: bool = False,
    device: str = "auto",
    dtype: str = "float32",
    workbench: Workbench | None = None,
    stages: Path | None = None,
    **options: Any,
) -> Circuit:
    """Find the features that carry a model's answer to a prompt.

    Args:
        prompt: The text whose next token is to be explained.
        pairs: File of pairs of prompts to explain together, instead of `prompt`; see `sae/prompt_pairs.py`.
        keep_wrong: Keep pairs whose answers the model does not give.
        model: A loaded host, a bundled name, a directory or a hub id.
        saes: SAEs by site, a directory of them, or a sae-lens release; those bundled with the model by default.
        sites: Comma list with globs; by default every `resid_post` that has an SAE.
        contrast: A prompt of equal token length that changes the answer; `auto` searches one and, where it finds none,
            compares with references.
        reference: File of prompts for the resample and mean baselines, one a line.
        target: The answer to explain; the model's own by default.
        foil: The answer that it is compared with.
        chat: Whether to apply the tokenizer's chat template.
        device: Where the model runs.
        dtype: Its precision.
        workbench: A model with its dictionaries, to serve several prompts; `model`, `saes` and `sites` are then unused.
        stages: Folder where the effects of each prompt are kept, and taken from if they are there already.
        **options: The fields of `DiscoverySettings`.

    Returns:
        The circuit: nodes with their effects, edges, faithfulness beside its null, and where it all comes from.

    Raises:
        ValueError: If an input cannot be used; the message says what was expected.

    Example:
        ```python
        from circuits import discover
        circuit = discover("The young woman presents with ... Diagnosis:")
        circuit.save("runs/first")
        ```
    """
    settings = DiscoverySettings(**options)
    question = Question(
        prompt=prompt,
        contrast=contrast,
        target=target,
        foil=foil,
        pairs=None if pairs is None else Path(pairs),
        keep_wrong=keep_wrong,
        reference=None if reference is None else Path(reference),
        chat=chat,
    )
    cache = None if stages is None else StageCache(stages)
    watch = Stopwatch()
    with watch.stage("load"):
        bench = workbench or open_workbench(
            model, saes=saes, sites=sites, basis=settings.basis, device=device, dtype=dtype
        )
    with watch.stage("runs"):
        question, search = with_found_contrast(question, bench)
        ensemble, facts = question.runs(bench, baseline=settings.baseline, seed=settings.seed)
    with watch.stage("nodes"):
        effects = score_ensemble(ensemble, cache=cache, **settings.effect_options)
    with watch.stage("selection"):
        ranking = _ranked(ensemble, effects, settings)
        selection = _selected(ensemble, ranking, settings)
        tables = node_tables(ensemble, effects, ranking, selection.n_nodes)
    with watch.stage("edges"):
        edges = kept_edges(ensemble, effects, tables, settings, selection)
    with watch.stage("contexts"):
        shown = ranking.top(min(selection.n_nodes, MOST_FEATURES_SHOWN))
        contexts = _contexts(bench, question, ensemble, shown, seed=settings.seed)
    points = {str(site): n for site, n in effects.points.items()}
    facts = {**facts, **search, "points_by_site": points, "contexts": contexts}
    return assemble(bench, question, settings, ensemble, effects, selection, tables, edges, facts, watch)


def _contexts(
    bench: Workbench, question: Question, ensemble: Ensemble, shown: NodeSet, *, seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Where features respond most, for the record."""
    prompts = question.context_prompts(bench, [runs.behaviour for runs in ensemble.runs], seed=seed)
    features = [(site, feature) for site, (_, ids) in shown.nodes.items() for feature in ids.unique().tolist()]
    found = feature_contexts(bench.host, bench.dictionaries, features, prompts)
    return {f"{site}/{feature}": context_records(contexts) for (site, feature), contexts in found.items()}


def _ranked(ensemble: Ensemble, effects: EnsembleEffects, settings: DiscoverySettings) -> Ranking:
    ranking = Ranking.by_effect(effects.at_places)
    if len(ranking) == 0:
        raise ValueError(
            "no feature differs between the prompt and its baseline; choose a contrast or references that differ"
        )
    if settings.method != "mask":
        return ranking
    goal = settings.wanted_faithfulness
    logits = learn_mask(ensemble, effects.at_places, goal=1.0 if goal is None else goal, seed=settings.seed)
    return Ranking.by_score(effects.at_places, logits)


def _selected(ensemble: Ensemble, ranking: Ranking, settings: DiscoverySettings) -> Selection:
    return select_nodes(
        ensemble,
        ranking,
        wanted_faithfulness=settings.wanted_faithfulness,
        top_k=settings.top_k,
        node_threshold=settings.node_threshold,
        cumulative=settings.cumulative,
        seed=settings.seed,
    )
