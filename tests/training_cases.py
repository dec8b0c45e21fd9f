"""Small data with known features, and small runs on it."""

import torch
from torch.nn.functional import normalize

from sae.host.sites import Site
from sae.training.config import BatchTopKConfig, JumpReLUConfig, MatryoshkaConfig
from sae.training.memory_source import MemorySource

SITES = (Site("resid_post", 0), Site("resid_post", 1))


def sparse_data(n_tokens, *, d_model=32, n_features=48, mean_active=2.0, seed=0):
    """Sums of a few random directions far from the origin, and the directions."""
    generator = torch.Generator().manual_seed(seed)
    directions = normalize(torch.randn(n_features, d_model, generator=generator))
    active = torch.rand(n_tokens, n_features, generator=generator) < mean_active / n_features
    strengths = 5 + 5 * torch.rand(n_tokens, n_features, generator=generator)
    return (active * strengths) @ directions + 7.0, directions


def small_source(*, seed=0, n_tokens=1000, sites=SITES):
    """Sparse data of width 12 at two sites."""
    data = {site: sparse_data(n_tokens, d_model=12, n_features=16, seed=i)[0] for i, site in enumerate(sites)}
    return MemorySource({s: x[200:] for s, x in data.items()}, {s: x[:200] for s, x in data.items()}, seed=seed)


def jump_relu(**changes):
    """A JumpReLU run of a second."""
    settings = {"d_sae": 24, "l0": 2, "steps": 40, "batch_tokens": 64, "log_every": 10, "warmup_steps": 5}
    return JumpReLUConfig(**(settings | changes))


def batch_topk(**changes):
    """A BatchTopK run of a second."""
    settings = {"d_sae": 24, "k": 2, "steps": 40, "batch_tokens": 64, "log_every": 10, "warmup_steps": 5}
    return BatchTopKConfig(**(settings | changes))


def matryoshka(**changes):
    """A Matryoshka run of a second."""
    settings = {"d_sae": 24, "k": 2, "steps": 40, "batch_tokens": 64, "log_every": 10, "warmup_steps": 5}
    return MatryoshkaConfig(**(settings | {"prefixes": (0.25, 0.5, 1)} | changes))
