"""A tiny model with a planted output feature: along it the stream speaks for one word, along another for none."""

import torch
from tiny_models import tiny_llama_model, tiny_tokenizer

from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.host.sites import Site
from steering.dictionaries import Dictionaries
from steering.steered_host import SteeredHost

SITE = Site("resid_post", 2)
TARGET, TARGET_ID = "w7", 11
PLANTED, NULL = 3, 5
WORDS = [f"w{index}" for index in range(44)]


def planted_model(statistics: str) -> SteeredHost:
    """Feature `PLANTED` writes the unembedding of the target; `NULL` writes what no unembedding reads."""
    model = tiny_llama_model()
    unembedding = model.lm_head.weight.data
    unembedding[:, 0] = 0.0  # a coordinate that nothing reads after the last layer but its norm
    host = HostModel(model, tiny_tokenizer(), name="planted")
    others = unembedding.mean(0)
    rows = torch.nn.functional.normalize(torch.randn(16, 32, generator=torch.Generator().manual_seed(4)), dim=-1)
    rows[PLANTED] = torch.nn.functional.normalize(unembedding[TARGET_ID] - others, dim=0)
    rows[NULL] = torch.eye(32)[0]
    sae = SAE(
        encoder_rows=rows,
        b_enc=torch.zeros(16),
        decoder_rows=rows,
        b_dec=torch.zeros(32),
        threshold=torch.full((16,), 0.1),
        site=SITE,
    )
    return SteeredHost(host, Dictionaries(host, saes={SITE: sae}, statistics=statistics))


def texts(n: int, length: int, seed: int) -> list[str]:
    """Random words, the target aside."""
    generator = torch.Generator().manual_seed(seed)
    known = [word for word in WORDS if word != TARGET]
    return [" ".join(known[i] for i in torch.randint(43, (length + row % 3,), generator=generator)) for row in range(n)]
