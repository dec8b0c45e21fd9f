"""Directions that need no SAE: where a concept is mentioned, less where others of its kind are.

One direction a concept and site. It reads and writes itself, as one would steer along it; the directions are not made
orthogonal to each other. Projections are taken from the midpoint of the two means and are 0 on the far side of it, so
that a direction is on or off, as a feature is, and what it is named for is measured in the same way.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from experiments.clinic.labelled_text import LabelledText
from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site

__all__ = ["mean_difference_dictionary"]


def mean_difference_dictionary(
    text: LabelledText, activations: Float[Tensor, "tokens d_model"], site: Site, families: Sequence[str]
) -> SAE:
    """A dictionary with one feature for each concept of some families.

    Args:
        text: What each token expresses.
        activations: At the site.
        site: Where they are from.
        families: Such as `pos`: a concept is held against the other concepts of its own.

    Raises:
        ValueError: No family has two concepts to hold against each other.
    """
    rows, biases = [], []
    for on, off in _mentions(text, families):
        present, absent = activations[on].mean(dim=0), activations[off].mean(dim=0)
        direction = torch.nn.functional.normalize(present - absent, dim=0)
        rows.append(direction)
        biases.append(-direction @ (present + absent) / 2)
    if not rows:
        raise ValueError(f"no family of {list(families)} has two concepts in the text; give more documents")
    directions = torch.stack(rows)
    return SAE(
        encoder_rows=directions,
        b_enc=torch.stack(biases),
        decoder_rows=directions,
        b_dec=torch.zeros_like(directions[0]),
        threshold=torch.zeros(len(directions)),
        site=site,
    )


def _mentions(
    text: LabelledText, families: Sequence[str]
) -> list[tuple[Bool[Tensor, " tokens"], Bool[Tensor, " tokens"]]]:
    """For each concept the tokens that express it, and those that express others of its family only."""
    columns: Mapping[str, list[int]] = defaultdict(list)
    for column, concept in enumerate(text.concepts):
        columns[concept.partition(":")[0]].append(column)
    found = []
    for family in families:
        of_token = text.truth[:, columns[family]][text.unit] > 0
        in_family = of_token.any(dim=1)
        pairs = [(on, in_family & ~on) for on in of_token.T]
        found += [(on, off) for on, off in pairs if on.any() and off.any()]
    return found
