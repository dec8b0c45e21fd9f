"""The null of a whole dictionary: random directions, each of which is active as often as the feature it stands for.

What they score is what explanations and scorers make of any direction of this host; only what a trained dictionary has
beyond it says that the training found something.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sae.activations.documents import DocumentReader, batches_of_similar_length
from sae.dictionary.autoencoder import SAE
from sae.dictionary.random_directions import random_dictionary_of_density
from sae.host.host import HostModel
from sae.interpretation.interpret import Settings, interpret, plan_interpretation
from sae.interpretation.judges.request import JudgeBackend
from sae.interpretation.material import Material
from sae.interpretation.summary import Row

__all__ = ["random_counterpart", "site_sample", "with_random_null"]

SAMPLE_TOKENS = 16_384
"""Tokens that thresholds are set on."""
BATCH_TOKENS = 8192
SEED = 7_919_000
"""Added to the seed: a dictionary may have been initialised with the same small one."""


def with_random_null(
    rows: Sequence[Row],
    dictionary: SAE,
    features: Sequence[int],
    settings: Settings,
    judge: JudgeBackend,
    gather: Callable[[SAE], Material],
) -> list[Row]:
    """The rows with what a random dictionary scores beside them.

    Args:
        rows: Of the trained dictionary.
        dictionary: The random one.
        features: The same ones as of the trained dictionary.
        settings: What is wanted of it.
        judge: Who judges.
        gather: Encodes the same text with a dictionary.
    """
    material = gather(dictionary)
    plan = plan_interpretation(material, dictionary, features, settings)
    found = {row.name: row.value for row in interpret(material, plan, settings, judge).rows}
    return [replace(row, random=found.get(row.name)) for row in rows]


def random_counterpart(
    like: SAE, density: Float64[Tensor, " d_sae"], x: Float[Tensor, "tokens d_model"], *, seed: int = 0
) -> SAE:
    """Random directions as dense as the features of a dictionary, of a seed that no dictionary began with.

    Args:
        like: The dictionary.
        density: Share of the tokens on which each of its features is active.
        x: Activations at its site, to set the thresholds on.
        seed: Of the directions.
    """
    return random_dictionary_of_density(x, density, site=like.site, seed=SEED + seed)


def site_sample(host: HostModel, sae: SAE, texts: Iterable[str]) -> Float[Tensor, "tokens d_model"]:
    """Activations at the site of a dictionary on the first documents of a corpus, BOS left out, on the CPU.

    Raises:
        ValueError: The dictionary does not know its site.
    """
    if sae.site is None:
        raise ValueError("the SAE does not say its site, expected a hook_name such as blocks.3.hook_resid_post")
    reader = DocumentReader(host, texts, context_tokens=host.context_length)
    rows = []
    for documents in batches_of_similar_length(reader.take(SAMPLE_TOKENS), max_tokens=BATCH_TOKENS):
        batch = host.batch([document.ids for document in documents])
        rows.append(host.capture(batch, [sae.site])[sae.site][batch.node_mask].float().cpu())
    return torch.cat(rows)
