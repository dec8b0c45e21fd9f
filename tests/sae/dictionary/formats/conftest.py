"""A random SAE with thresholds, one without, and activations to compare them on."""

import pytest
import torch

from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site


def random_parts(seed: int) -> dict:
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    return {"encoder_rows": draw(32, 8), "b_enc": draw(32), "decoder_rows": draw(32, 8), "b_dec": draw(8)}


@pytest.fixture
def sae() -> SAE:
    metadata = {"model_name": "clinic", "context_size": 256, "domain_circuits": {"training": {"k": 4}}}
    threshold = torch.rand(32, generator=torch.Generator().manual_seed(5)) * 2
    return SAE(**random_parts(0), threshold=threshold, site=Site("mlp_out", 3), metadata=metadata)


@pytest.fixture
def top_k_sae() -> SAE:
    return SAE(**random_parts(2), threshold=torch.zeros(32), top_k=4, site=Site("resid_post", 1))


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(64, 8, generator=torch.Generator().manual_seed(1)) * 3
