"""Nulls of another model or another question.

- `reinitialised_host`: the model's architecture with fresh random weights, read through the same dictionaries. Runs,
  features and ranking are those of that model, and so is the scale: a circuit that is as faithful to random weights
  says nothing about what the model has learned.
- `random_foil`: features are ranked for the target against a random token, and then measured on the circuit's own
  question: what is left is what supports the target against anything.
"""

from dataclasses import replace

import torch

from circuits.evaluation.masked_runs import ensemble_metrics
from circuits.evaluation.scale import Scale
from circuits.nulls.case import NullCase, NullResult
from circuits.prompts.behaviour import Answer, Behaviour
from circuits.runs.ensemble import Ensemble
from circuits.runs.node_set import NodeSet
from circuits.runs.runs import Runs
from circuits.workbench import Workbench
from sae.host.host import HostModel

__all__ = ["random_foil", "reinitialised_host"]


def reinitialised_host(case: NullCase, n_draws: int) -> NullResult:
    """Models with fresh random weights."""
    values, reason = [], None
    for draw in range(n_draws):
        try:
            values.append(_faithfulness_of_random_weights(case, case.seed + draw))
        except ValueError as error:
            reason = f"with seed {case.seed + draw}: {error}"
    return NullResult(tuple(values), reason)


def random_foil(case: NullCase, n_draws: int) -> NullResult:
    """Features that support the target against a random token."""
    ensemble = case.opened.ensemble
    circuits = []
    for draw in range(n_draws):
        generator = torch.Generator().manual_seed(case.seed + draw)
        runs = tuple(_with_random_foil(runs, generator) for runs in ensemble.runs)
        circuits.append(case.rank_again(replace(ensemble, runs=runs)).top(len(case.nodes)))
    return NullResult(tuple(case.scale.shares(ensemble_metrics(ensemble, circuits)).tolist()))


def _faithfulness_of_random_weights(case: NullCase, seed: int) -> float:
    opened = case.opened
    bench = Workbench(opened.bench.host.reinitialised(seed), opened.bench.dictionaries, opened.bench.labels)
    runs = tuple(
        opened.question.recorded(bench, runs.behaviour, runs.baseline.kind, case.seed) for runs in opened.ensemble.runs
    )
    ensemble: Ensemble = replace(opened.ensemble, runs=runs)
    ranking = case.rank_again(ensemble)
    if len(ranking) == 0:
        raise ValueError("no feature differs between clean and baseline run")
    metrics = ensemble_metrics(ensemble, [NodeSet({}), ranking.top(len(case.nodes))])
    scale = Scale.of(ensemble, metrics[0], seed=case.seed)
    if scale.reason is not None:
        raise ValueError(scale.reason)
    return scale.shares(metrics[1:])[0].item()


def _with_random_foil(runs: Runs, generator: torch.Generator) -> Runs:
    """The same runs, asked about another foil of as many tokens."""
    behaviour = replace(runs.behaviour, foil=_random_answer(runs.host, runs.behaviour, generator))
    return Runs.record(runs.host, behaviour, runs.dictionaries, runs.baseline)


def _random_answer(host: HostModel, behaviour: Behaviour, generator: torch.Generator) -> Answer:
    """Random tokens, none of them special or of either answer."""
    excluded = {*host.tokenizer.all_special_ids, *behaviour.target.token_ids, *behaviour.foil.token_ids}
    shuffled = torch.randperm(min(host.vocab_size, len(host.tokenizer)), generator=generator).tolist()
    allowed = [token for token in shuffled if token not in excluded]
    ids = tuple(allowed[: len(behaviour.foil.token_ids)])
    return Answer(host.tokenizer.decode(ids), ids)
