"""Features that may have to do with a concept, before it is asked whether they cause anything.

Where a candidate comes from, and what its input score is:

    label      its label names the concept                     F1 of the label, 0 to 1
    mention    it fires where the concept is named             share of mentions less share of other pieces of text of
                                                               the same length on which it fires, -1 to 1
    before     it fires on the token before the name           the same, of single tokens
    contrast   it fires on one side of pairs of prompts        mean difference of its largest activations in the two
                                                               prompts, beside its largest in any, -1 to 1
    slope      it would cause the answer, to first order       none: nothing says that it fires
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.prompt_pairs import Pair
from steering.dictionaries import Dictionaries
from steering.directions import Feature

__all__ = ["Candidate", "by_contrast", "by_label", "strongest"]

BATCH_ROWS = 64


@dataclass(frozen=True)
class Candidate:
    """A feature, where it comes from, and how it fires; see above."""

    feature: Feature
    found_by: str
    input_score: float | None


def by_label(dictionaries: Dictionaries, site: Site, label: str) -> list[Candidate]:
    """Features whose label is the given one, or is it without its family: `tuberculosis` is `latent:tuberculosis`."""
    wanted = _plain_words(label)
    found = []
    for index in range(dictionaries.sae(site).d_sae):
        known = dictionaries.label(site, index)
        if known is not None and wanted in (_plain_words(known.text), _plain_words(known.text.rpartition(":")[2])):
            found.append(Candidate(Feature(site, index), "label", known.f1))
    return found


def by_contrast(host: HostModel, sae: SAE, site: Site, pairs: Sequence[Pair]) -> list[Candidate]:
    """Features that are more active in the clean prompts of pairs than in their patch prompts.

    Args:
        host: The model.
        sae: The dictionary at the site.
        site: The site.
        pairs: At least one.
    """
    clean, patch = (_largest_acts(host, sae, site, [getattr(pair, side) for pair in pairs]) for side in _SIDES)
    largest = torch.cat([clean, patch]).amax(0)
    scores = torch.where(largest > 0, (clean - patch).mean(0) / largest, 0.0)
    return strongest(site, scores, "contrast")


def strongest(site: Site, scores: Float[Tensor, " d_sae"], found_by: str) -> list[Candidate]:
    """The features with a score above 0, the largest first."""
    order = scores.argsort(descending=True, stable=True)
    chosen: Iterable[int] = order[scores[order] > 0].tolist()
    return [Candidate(Feature(site, index), found_by, float(scores[index])) for index in chosen]


_SIDES = ("clean_prefix", "patch_prefix")


def _plain_words(text: str) -> str:
    return text.replace("_", " ").strip().casefold()


def _largest_acts(host: HostModel, sae: SAE, site: Site, prompts: Sequence[str]) -> Float[Tensor, "prompts d_sae"]:
    """The largest activation of each feature in each prompt."""
    rows: list[Int[Tensor, " _"]] = [host.tokenise(prompt) for prompt in prompts]
    found = []
    for start in range(0, len(rows), BATCH_ROWS):
        batch = host.batch(rows[start : start + BATCH_ROWS])
        read = sae.input_site or site
        x = host.capture(batch, [read])[read]
        acts = sae.encode_sparse(x[batch.node_mask].float()).to("cpu")
        row_of_token = batch.node_mask.nonzero()[:, 0].cpu()
        largest = torch.zeros(batch.n_rows * sae.d_sae)
        keys = row_of_token[acts.token_ids()] * sae.d_sae + acts.feature_ids
        found.append(largest.scatter_reduce_(0, keys, acts.values.float(), "amax").view(-1, sae.d_sae))
    return torch.cat(found)
