"""Small random behaviours that the circuit tests share."""

from collections.abc import Mapping
from functools import cache

import torch
from tiny_models import random_sae, tiny_llama

from circuits.prompts.behaviour import Behaviour, describe_behaviour
from circuits.runs.baselines import Baseline, contrast_baseline, resample_baseline
from circuits.runs.runs import Runs, node_positions
from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.host.sites import Site

PROMPT = "w1 w2 w3 w4 w5"
CONTRAST = "w1 w2 w7 w4 w5"


@cache
def host() -> HostModel:
    """A random Llama of three layers and width 32."""
    return tiny_llama()


def saes_at(*patterns: str) -> dict[Site, SAE]:
    """Random SAEs at the sites whose kind is named."""
    chosen = [site for site in host().sites if site.kind in patterns]
    return {site: random_sae(32, 64, site, seed=i) for i, site in enumerate(chosen)}


def behaviour(*, foil: str = "w9", target: str | None = None, contrast: str | None = CONTRAST) -> Behaviour:
    """The shared prompt against its contrast."""
    return describe_behaviour(host(), PROMPT, contrast=contrast, target=target, foil=foil)


def contrast_runs(saes: Mapping[Site, SAE], about: Behaviour | None = None) -> Runs:
    """Clean run and contrast run."""
    about = about or behaviour()
    baseline = contrast_baseline(host(), saes, about.contrast_ids, node_positions(host(), about))
    return Runs.record(host(), about, saes, baseline)


def resample_runs(saes: Mapping[Site, SAE], n: int = 4) -> Runs:
    """Clean run and several references, some shorter and some longer than the prompt."""
    about = behaviour(contrast=None)
    texts = [" ".join(f"w{(7 * i + 3 * j) % 44}" for j in range(3 + i % 4)) for i in range(n)]
    references = [host().tokenise(text) for text in texts]
    baseline: Baseline = resample_baseline(host(), saes, references, node_positions(host(), about))
    return Runs.record(host(), about, saes, baseline)


def dense(runs: Runs, site: Site, effects) -> torch.Tensor:
    """Effects of the feature nodes of a site as [positions d_sae]."""
    table = torch.zeros(runs.n_positions, runs.dictionaries[site].d_sae)
    table[effects.position, effects.feature_id] = effects.indirect_effect
    return table
