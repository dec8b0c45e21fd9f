"""From a corpus to trained SAEs on disk: harvest once, train at each site and L0, evaluate on held-out tokens."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.activations.harvest import Harvest, harvest
from sae.activations.importance import importance_weights
from sae.corpora import read_corpus
from sae.dictionary.formats import RECORD
from sae.dictionary.host_record import host_record
from sae.evaluation.fidelity import measure_fidelity
from sae.evaluation.spliced_loss import measure_spliced_loss
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.training.trainer import BatchTopKConfig, train_sae

__all__ = ["CorpusTraining", "TrainedSAE", "train_on_corpus"]

HELD_OUT_SHARE = 0.05
MIN_HELD_OUT_TOKENS = 512
N_LOSS_DOCUMENTS = 100


@dataclass(frozen=True)
class CorpusTraining:
    """What to train: one SAE for each site and wanted L0."""

    corpus: str
    """Corpus SPEC, such as `clinic:clinical` or a path."""
    sites: tuple[Site, ...]
    d_sae: int
    l0: tuple[float, ...]
    n_tokens: int
    """Tokens that each SAE is trained on, with repetition where the harvest is smaller."""
    max_harvested_tokens: int = 700_000
    """Activations kept in memory; training draws from them."""
    uses_importance: bool = True
    """Whether tokens are drawn by label-free importance instead of uniformly."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.d_sae < 1 or self.n_tokens < 1:
            raise ValueError(f"d_sae is {self.d_sae} and tokens {self.n_tokens}, expected both to be at least 1")
        for l0 in self.l0:
            if not 0 < l0 <= self.d_sae:
                raise ValueError(f"l0 is {l0}, expected more than 0 and at most d_sae, {self.d_sae}")


@dataclass(frozen=True)
class TrainedSAE:
    """One finished SAE and its figures on held-out tokens."""

    path: Path
    site: Site
    d_sae: int
    l0_target: float
    l0: float
    ev: float | None
    delta_ce: float
    dead: float
    tokens: int
    tokens_per_second: float

    def to_json(self) -> dict[str, Any]:
        """The record that `sae train --json` prints; `ev_answer` needs a corpus with known answers."""
        return {
            "path": str(self.path),
            "site": str(self.site),
            "d_sae": self.d_sae,
            "l0_target": self.l0_target,
            "l0": self.l0,
            "ev": self.ev,
            "ev_answer": None,
            "delta_ce": self.delta_ce,
            "dead": self.dead,
            "tokens": self.tokens,
            "tokens_per_second": self.tokens_per_second,
        }


@dataclass(frozen=True, eq=False)
class _Activations:
    """Tokens to train on, how often to draw each, and other tokens to judge by."""

    train: Harvest
    weights: Float[Tensor, " tokens"] | None
    held_out: Harvest


def train_on_corpus(host: HostModel, training: CorpusTraining, output: Path) -> list[TrainedSAE]:
    """Harvest a corpus once and write one SAE directory per site and L0 below `output`.

    Args:
        host: The model whose activations are decomposed.
        training: What to train.
        output: An existing directory.

    Raises:
        ValueError: The corpus cannot be read, or is too small to hold tokens back.
    """
    activations = _harvest(host, training)
    trained = []
    for site in training.sites:
        for l0 in training.l0:
            name = str(site) if len(training.l0) == 1 else f"{site}-l0-{l0:g}"
            trained.append(_train_one(host, training, activations, (site, l0), output / name))
    return trained


def _harvest(host: HostModel, training: CorpusTraining) -> _Activations:
    """The first documents are held out, the next ones trained on."""
    wanted = min(training.n_tokens, training.max_harvested_tokens)
    n_held_out = min(wanted, max(MIN_HELD_OUT_TOKENS, int(wanted * HELD_OUT_SHARE)))
    texts = read_corpus(training.corpus, seed=training.seed)
    held_out = harvest(host, texts, training.sites, n_tokens=n_held_out)
    train = harvest(host, texts, training.sites, n_tokens=wanted, importance=training.uses_importance)
    return _Activations(train, importance_weights(train) if training.uses_importance else None, held_out)


def _train_one(
    host: HostModel, training: CorpusTraining, activations: _Activations, goal: tuple[Site, float], path: Path
) -> TrainedSAE:
    site, l0 = goal
    batch_tokens = min(2048, training.n_tokens)
    config = BatchTopKConfig(
        d_sae=training.d_sae,
        k=l0,
        steps=max(1, training.n_tokens // batch_tokens),
        batch_tokens=batch_tokens,
        seed=training.seed,
    )
    start = time.perf_counter()
    sae, record = train_sae(
        activations.train.activations[site],
        activations.weights,
        config,
        held_out=activations.held_out.activations[site],
        site=site,
        metadata={
            "model_name": host.name,
            "context_size": host.context_length,
            "dataset_path": training.corpus,
            RECORD: {"host": host_record(host), "corpus": training.corpus},
        },
    )
    seconds = time.perf_counter() - start
    sae.save(path)
    saved = sae.rounded()
    fidelity = measure_fidelity(saved, activations.held_out.activations[site])
    loss = measure_spliced_loss(host, _documents(host, activations.held_out), {site: saved})
    return TrainedSAE(
        path,
        site,
        training.d_sae,
        l0,
        fidelity.l0,
        fidelity.explained_variance,
        loss.delta_ce,
        fidelity.dead_share,
        record.n_tokens,
        round(record.n_tokens / seconds, 1),
    )


def _documents(host: HostModel, harvested: Harvest) -> list[Int[Tensor, " _"]]:
    """The first documents of a harvest as rows to run, BOS in front."""
    bos = torch.tensor([host.tokenizer.bos_token_id])
    ids = harvested.document_ids.unique()[:N_LOSS_DOCUMENTS]
    return [torch.cat([bos, harvested.token_ids[harvested.document_ids == i]]) for i in ids]
