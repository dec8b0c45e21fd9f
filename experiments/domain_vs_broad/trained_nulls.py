"""Null arms that are trained: as the domain arm on the domain's text, but with something in them that never learned.

- `frozen-decoder`: the decoder stays random unit rows; encoder, biases and thresholds learn.
- `random-host`: the host has fresh random weights; its dictionary is trained and judged in it as ever.

What they score is what training a dictionary gives whatever its directions, and whatever the host knows. One seed each.
"""

from pathlib import Path

from experiments.domain_vs_broad.arms import ARMS, DOMAIN, FROZEN_DECODER, RANDOM_HOST, Arm
from experiments.domain_vs_broad.cell_training import train_cell
from experiments.domain_vs_broad.matrix import Cell
from experiments.domain_vs_broad.profiles import Profile
from experiments.domain_vs_broad.texts import TrainingRows, training_rows
from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.training.frozen_decoder import frozen_decoder_trainer
from sae.training.trainer import trainer_for

__all__ = ["host_of_null", "train_null"]

SEED = 0
HOST_SEED = 7919
"""Of the fresh weights: a host may have begun with those of a small seed."""


def host_of_null(name: str, host: HostModel) -> HostModel:
    """The host that a null arm is trained and judged in: the same one, or one with fresh weights."""
    return host.reinitialised(HOST_SEED) if name == RANDOM_HOST else host


def train_null(
    name: str, host_name: str, profile: Profile, host: HostModel, directory: Path, rows: TrainingRows | None = None
) -> dict[str, SAE]:
    """Train the dictionaries of a null arm and save them in `directory`.

    Args:
        name: One of `TRAINED_NULLS`.
        host_name: What the matrix calls the host.
        profile: Everything that arms share.
        host: From `host_of_null`.
        directory: Made if missing; one directory a dictionary.
        rows: Activations of the domain's text in it, where they are at hand.
    """
    if rows is None:
        context = min(profile.context, host.context_length)
        rows = training_rows(
            host, profile.domain, Site.parse(profile.site), n_tokens=profile.harvested, context=context
        )
    cell = Cell(host_name, Arm(name, f"null: {name}", ARMS[DOMAIN].stages), SEED)
    how = frozen_decoder_trainer if name == FROZEN_DECODER else trainer_for
    return train_cell(cell, profile, host, {DOMAIN: rows}, directory, make_trainer=how)
