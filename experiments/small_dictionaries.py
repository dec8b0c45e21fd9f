"""Dictionaries for a small model that has none: trained in a minute on a processor, at every layer, and kept."""

import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from sae.activations.harvest import harvest
from sae.dictionary.autoencoder import SAE
from sae.dictionary.collection import load_saes
from sae.dictionary.formats.stored import RECORD
from sae.dictionary.host_record import host_record
from sae.host.host import HostModel
from sae.host.sites import Site, match_sites
from sae.training.memory_source import MemorySource
from sae.training.plan import TrainingPlan
from sae.training.trainer import train

__all__ = ["SmallDictionaries", "small_dictionaries", "train_small_dictionaries"]


@dataclass(frozen=True)
class SmallDictionaries:
    """What is trained; for a model of a quarter of a million parameters and five layers less than a minute's work.

    Attributes:
        text: What the texts are, for the record.
        sites: Comma list with globs.
        d_sae: Features of each.
        l0: Active features of a token.
        distinct_tokens: Tokens that are drawn from, with repetition.
        n_tokens: Tokens that each is trained on.
        batch_tokens: Tokens of a step.
        seed: Of weights and draws.
    """

    text: str
    sites: str = "resid_post.*"
    d_sae: int = 256
    l0: float = 12.0
    distinct_tokens: int = 20_000
    n_tokens: int = 400_000
    batch_tokens: int = 512
    seed: int = 0


def small_dictionaries(
    host: HostModel, texts: Iterable[str], recipe: SmallDictionaries, directory: Path
) -> dict[Site, SAE]:
    """The dictionaries in a directory; trained where there are none, or such of another recipe.

    Args:
        host: The model.
        texts: Read only where there is something to train.
        recipe: What is trained.
        directory: A directory of SAE directories afterwards, as `--saes` takes it.

    Raises:
        ValueError: The texts are too few, or the directory's dictionaries belong to another host.
    """
    found = load_saes(directory, host=host, sites=recipe.sites) if directory.is_dir() else {}
    if found and all(sae.metadata[RECORD]["recipe"] == asdict(recipe) for sae in found.values()):
        return found
    trained = train_small_dictionaries(host, texts, recipe)
    part = directory.with_name(f".{directory.name}.part")
    for path in (part, directory):
        shutil.rmtree(path, ignore_errors=True)
    for site, sae in trained.items():
        sae.save(part / str(site))
    part.rename(directory)
    return load_saes(directory, host=host, sites=recipe.sites)


def train_small_dictionaries(host: HostModel, texts: Iterable[str], recipe: SmallDictionaries) -> dict[Site, SAE]:
    """The dictionaries of a recipe; a tenth of the tokens is held back, on which L0 is held.

    Raises:
        ValueError: The texts are too few.
    """
    sites = tuple(match_sites(recipe.sites, host.sites))
    texts = iter(texts)
    held_out = harvest(host, texts, sites, n_tokens=recipe.distinct_tokens // 10)
    drawn = harvest(host, texts, sites, n_tokens=recipe.distinct_tokens)
    source = MemorySource(drawn.activations, held_out.activations, seed=recipe.seed)
    plan = TrainingPlan(
        sites, (recipe.d_sae,), (recipe.l0,), recipe.n_tokens, batch_tokens=recipe.batch_tokens, seed=recipe.seed
    )
    metadata = {
        "model_name": host.name,
        "dataset_path": recipe.text,
        RECORD: {"corpus": recipe.text, "host": host_record(host), "recipe": asdict(recipe)},
    }
    goals = plan.goals(d_model=host.d_model, metadata=metadata)
    trained = train(source, goals, device=host.device)
    return {goal.site: trained[goal.name].sae for goal in goals}
