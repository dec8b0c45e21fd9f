"""Trains one cell: a dictionary for every wanted L0, in one pass over the same draws."""

from collections.abc import Mapping
from pathlib import Path

from experiments.domain_vs_broad.arms import Stage
from experiments.domain_vs_broad.matrix import Cell
from experiments.domain_vs_broad.profiles import Profile
from experiments.domain_vs_broad.texts import TrainingRows, mixed_rows
from sae.dictionary.autoencoder import SAE
from sae.dictionary.formats.stored import RECORD
from sae.dictionary.host_record import host_record
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.training.memory_source import MemorySource
from sae.training.plan import TrainingPlan
from sae.training.sae_trainer import TrainingGoal
from sae.training.trainer import MakeTrainer, train, trainer_for

__all__ = ["dictionary_name", "train_cell"]


def dictionary_name(l0: float) -> str:
    """Of the directory of a dictionary, and of its column in tables of sums."""
    return f"l0-{l0:g}"


def train_cell(
    cell: Cell,
    profile: Profile,
    host: HostModel,
    rows: Mapping[str, TrainingRows],
    directory: Path,
    *,
    make_trainer: MakeTrainer = trainer_for,
) -> dict[str, SAE]:
    """Train the dictionaries of a cell and save them in `directory`.

    Args:
        cell: Which arm and seed.
        profile: Everything that arms share.
        host: The cell's host.
        rows: Activations of each text in it.
        directory: Made if missing; one directory a dictionary.
        make_trainer: How a dictionary is trained.

    Returns:
        The dictionaries by name, as they are on disk.
    """
    found: dict[str, SAE] = {}
    for number, stage in enumerate(cell.arm.stages):
        found = _train_stage(stage, cell, profile, host, rows, make_trainer, started=found, number=number)
    for name, sae in found.items():
        sae.save(directory / name)
    return {name: SAE.load(directory / name, device=str(host.device)) for name in found}


def _train_stage(
    stage: Stage,
    cell: Cell,
    profile: Profile,
    host: HostModel,
    rows: Mapping[str, TrainingRows],
    make_trainer: MakeTrainer,
    *,
    started: Mapping[str, SAE],
    number: int,
) -> dict[str, SAE]:
    site = Site.parse(profile.site)
    drawn = mixed_rows(tuple((rows[text], share) for text, share in stage.texts))
    # another seed for each stage, so that the second does not repeat the draws of the first
    source = MemorySource({site: drawn.train}, {site: drawn.calibration}, seed=cell.seed + 1000 * number)
    goals = [_goal(l0, stage, cell, profile, host, started.get(dictionary_name(l0))) for l0 in profile.l0]
    trained = train(source, goals, device=host.device, make_trainer=make_trainer)
    return {name: dictionary.sae for name, dictionary in trained.items()}


def _goal(l0: float, stage: Stage, cell: Cell, profile: Profile, host: HostModel, start: SAE | None) -> TrainingGoal:
    site = Site.parse(profile.site)
    plan = TrainingPlan(
        sites=(site,),
        d_sae=(profile.d_sae,),
        l0=(l0,),
        n_tokens=round(stage.tokens * profile.n_tokens),
        seed=cell.seed,
        start=None if start is None else {site: start},
        **dict(cell.arm.settings),
    )
    texts = "+".join(f"{share:g}*{getattr(profile, text)}" for text, share in stage.texts)
    record = {"corpus": texts, "host": host_record(host), "arm": cell.arm.name}
    metadata = {"dataset_path": texts, "model_name": host.name, RECORD: record}
    config = plan.config(profile.d_sae, l0, d_model=host.d_model)
    return TrainingGoal(dictionary_name(l0), site, config, start=start, metadata=metadata)
