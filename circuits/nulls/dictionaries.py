"""Nulls of other dictionaries: the same runs, read through features that mean nothing.

- `shuffled_decoder`: the decoder's rows permuted among the features, so that each is active where it was and writes
  what another wrote;
- `random_dictionary`: random directions to read and to write, with a threshold that gives the dictionary's L0 on the
  circuit's own runs and the scale that reconstructs them best;
- `zero_dictionary`: the same features, which write nothing; its circuits keep nothing, and f is 0.

The features are ranked again under each, by the same gradients: these do not depend on dictionaries.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.effects.ensemble_effects import gathered_effects
from circuits.effects.node_effects import NodeEffects, effects_of_gradients, score_nodes
from circuits.evaluation.masked_runs import ensemble_metrics
from circuits.evaluation.selection import Ranking
from circuits.nulls.case import NullCase, NullResult
from circuits.runs.active_features import encode_active
from circuits.runs.dictionaries import Dictionary
from circuits.runs.ensemble import Ensemble
from circuits.runs.runs import Runs
from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site

__all__ = [
    "random_dictionary",
    "random_like",
    "read_through",
    "shuffled_decoder",
    "shuffled_like",
    "zero_dictionary",
    "zero_like",
]

Activations = Float[Tensor, "tokens d_model"]
Likeness = Callable[[SAE, Activations, torch.Generator], SAE]


def shuffled_decoder(case: NullCase, n_draws: int) -> NullResult:
    """Dictionaries whose decoder rows belong to other features."""
    return _drawn(case, n_draws, shuffled_like, same_encoder=True)


def random_dictionary(case: NullCase, n_draws: int) -> NullResult:
    """Random dictionaries of equal L0."""
    return _drawn(case, n_draws, random_like, same_encoder=False)


def zero_dictionary(case: NullCase, n_draws: int) -> NullResult:
    """Dictionaries whose features write nothing; all draws are alike, so there is one."""
    return _drawn(case, min(1, n_draws), zero_like, same_encoder=True)


def shuffled_like(sae: SAE, x: Activations, generator: torch.Generator) -> SAE:
    """`sae` with its decoder rows permuted."""
    order = torch.randperm(sae.d_sae, generator=generator).to(sae.device)
    return _with(sae, decoder_rows=sae.decoder_rows[order])


def zero_like(sae: SAE, x: Activations, generator: torch.Generator) -> SAE:
    """`sae` with a decoder of zeros."""
    return _with(sae, decoder_rows=torch.zeros_like(sae.decoder_rows))


def random_like(sae: SAE, x: Activations, generator: torch.Generator) -> SAE:
    """A dictionary of random unit directions around `b_dec`, with the L0 of `sae` on `x`.

    Args:
        sae: What it stands for.
        x: Activations that its threshold and its scale are fitted to.
        generator: Of the directions.
    """
    drawn = torch.randn(sae.d_sae, sae.d_model, generator=generator).to(sae.device)
    rows = torch.nn.functional.normalize(drawn, dim=1)
    centred = x - sae.b_dec
    pre_acts = centred @ rows.T
    n_active = int((sae.encode(x) != 0).sum())
    largest = pre_acts.flatten().topk(min(n_active + 1, pre_acts.numel())).values
    threshold = largest[-1].clamp(min=0.0)
    written = pre_acts.where(pre_acts > threshold, 0.0) @ rows
    scale = (written * centred).sum() / written.square().sum().clamp(min=torch.finfo(x.dtype).tiny)
    return SAE(
        encoder_rows=rows,
        b_enc=-(rows @ sae.b_dec),
        decoder_rows=scale * rows,
        b_dec=sae.b_dec,
        threshold=threshold.expand(sae.d_sae).clone(),
        site=sae.site,
    )


def _with(sae: SAE, decoder_rows: Float[Tensor, "d_sae d_model"]) -> SAE:
    return SAE(
        encoder_rows=sae.encoder_rows,
        b_enc=sae.b_enc,
        decoder_rows=decoder_rows,
        b_dec=sae.b_dec,
        threshold=sae.threshold,
        top_k=sae.top_k,
        site=sae.site,
    )


def _drawn(case: NullCase, n_draws: int, like: Likeness, *, same_encoder: bool) -> NullResult:
    dictionaries = case.opened.ensemble.dictionaries
    saes = {site: sae for site, sae in dictionaries.items() if isinstance(sae, SAE) and sae.input_site is None}
    if others := [str(site) for site in dictionaries if site not in saes]:
        return NullResult(reason=f"there is no SAE at {others[0]}: other nodes have no such null")
    values = []
    for draw in range(n_draws):
        generator = torch.Generator().manual_seed(case.seed + draw)
        null = {site: like(sae, _activations(case.opened.ensemble, site), generator) for site, sae in saes.items()}
        ensemble = read_through(case.opened.ensemble, null, same_encoder=same_encoder)
        ranking = _ranked(case, ensemble)
        metrics = ensemble_metrics(ensemble, [ranking.top(len(case.nodes))])
        values.append(case.scale.shares(metrics)[0].item())
    return NullResult(tuple(values))


def _activations(ensemble: Ensemble, site: Site) -> Activations:
    """Clean and baseline activations of all runs at node positions."""
    found = []
    for runs in ensemble.runs:
        both = torch.cat([runs.clean[site][:1, : runs.n_positions], runs.baseline.activations[site]])
        found.append(both[:, runs.at_nodes].flatten(0, 1))
    return torch.cat(found)


def read_through(ensemble: Ensemble, dictionaries: Mapping[Site, Dictionary], *, same_encoder: bool) -> Ensemble:
    """The same runs with other dictionaries; what the baseline's features are follows from its activations.

    Args:
        ensemble: Runs, and their dictionaries.
        dictionaries: Others, at the same sites.
        same_encoder: Whether these are active as those were, so that nothing has to be encoded again.
    """
    read = []
    for runs in ensemble.runs:
        baseline = runs.baseline
        if not same_encoder:
            features = {
                site: encode_active(sae, baseline.activations[site], runs.at_nodes)
                for site, sae in dictionaries.items()
            }
            baseline = replace(baseline, features=features)
        read.append(replace(runs, dictionaries=dictionaries, baseline=baseline))
    return replace(ensemble, runs=tuple(read))


def _ranked(case: NullCase, ensemble: Ensemble) -> Ranking:
    per_run = [_scored(case, runs, known) for runs, known in zip(ensemble.runs, case.effects.per_run, strict=True)]
    return Ranking.by_effect(gathered_effects(ensemble, per_run))


def _scored(case: NullCase, runs: Runs, known: NodeEffects) -> NodeEffects:
    """Effects under the runs' dictionaries; measured ones are measured again."""
    if case.method == "exact":
        return score_nodes(runs, case.method, **case.method_options)
    return effects_of_gradients(runs, {site: effects.gradients for site, effects in known.items()})
