"""Trains the bundle's SAEs: at every site, on clinical and on broad text, matched in everything but the text.

No label takes part. Tokens are drawn by `sae.activations.importance_weights`, which knows the host's own predictions
only, and more often where a question ends, which is a position and says nothing of the answer.
"""

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from itertools import count, repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from experiments.clinic.corpus import document_chunk
from experiments.clinic.document import Document
from sae.activations.harvest import Harvest, harvest
from sae.activations.importance import importance_weights
from sae.dictionary.formats.stored import RECORD
from sae.dictionary.host_record import host_record
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.progress import progress
from sae.training.config import BatchTopKConfig
from sae.training.trainer import Emphasis, train_sae
from sae.written_whole import written_whole

__all__ = ["TEXTS", "SAERecipe", "SiteRecipe", "train_bundle_saes"]

logger = logging.getLogger(__name__)

TEXTS = ("clinical", "broad")
BUNDLE_NAME = "clinic"
SAMPLING = (
    "training tokens are drawn with weights from the host's own predictions (surprisal of the token, and gain of the "
    "host over a trigram on the next token), times question_end_factor at a question's last token, where the error "
    "counts question_end_emphasis squared; no label takes part"
)


@dataclass(frozen=True)
class SiteRecipe:
    """Settings of one site, the same for both texts."""

    k: float
    """Mean active features of a token, as the tokens are drawn."""
    steps: int = 2000
    question_end_factor: float = 4.0
    """How much more often the last token of a question is drawn than its importance says."""
    question_end_emphasis: float = 1.0
    """Its error counts this squared: above 1 where what a case adds there is small beside the question's own words,
    below 1 where few features are to say the answer while other tokens keep theirs."""


SITE_RECIPES = {
    "embed": SiteRecipe(k=4.0),
    "resid_post.0": SiteRecipe(k=4.0, steps=8000, question_end_emphasis=2.0),
    "resid_post.1": SiteRecipe(k=3.0, steps=8000),
    "resid_post.2": SiteRecipe(k=3.0, steps=8000, question_end_emphasis=1.25),
    "resid_post.*": SiteRecipe(k=6.0, steps=8000, question_end_factor=32.0, question_end_emphasis=0.3),
    "*": SiteRecipe(k=8.0),
}
"""By site glob; the first that matches counts. Chosen on validation documents and on seeds that no bar uses."""


@dataclass(frozen=True)
class SAERecipe:
    """Settings of the bundle's SAEs."""

    d_sae: int = 1024
    n_tokens: int = 700_000
    """Tokens harvested for training, drawn from with repetition."""
    n_held_out_tokens: int = 60_000
    """Validation tokens that the thresholds are calibrated on."""
    batch_tokens: int = 2048
    learning_rate: float = 2e-2
    """With the loss in units of the variance and without clipping: the factors above were chosen with it."""
    sites: Mapping[str, SiteRecipe] = field(default_factory=lambda: dict(SITE_RECIPES))
    seed: int = 0

    def of_site(self, site: Site) -> SiteRecipe:
        """The settings of one site."""
        return next(recipe for pattern, recipe in self.sites.items() if fnmatchcase(str(site), pattern))

    def config_for(self, site: Site) -> BatchTopKConfig:
        """The training configuration of one site."""
        of_site = self.of_site(site)
        return BatchTopKConfig(
            d_sae=self.d_sae,
            k=of_site.k,
            steps=of_site.steps,
            batch_tokens=self.batch_tokens,
            learning_rate=self.learning_rate,
            loss_unit="variance",
            clipping="none",
            seed=self.seed,
        )


@dataclass(frozen=True)
class _Job:
    """One SAE to train: where its activations lie and where it goes."""

    activations: Path
    output: Path
    site: Site
    config: BatchTopKConfig
    recipe: SiteRecipe
    metadata: dict[str, Any]


def train_bundle_saes(
    work_dir: Path, host: HostModel, recipe: SAERecipe, *, workers: int = 2, texts: Iterable[str] = TEXTS
) -> None:
    """Write `work_dir/<text>/<site>` for each text and every site; those that exist already are kept."""
    for text in texts:
        missing = [site for site in host.sites if not (work_dir / text / str(site)).is_dir()]
        if not missing:
            continue
        store = work_dir / "activations" / text
        if not all((store / f"{site}.safetensors").is_file() for site in missing):
            _harvest_to(store, host, text, recipe)
        jobs = [
            _Job(
                store / f"{site}.safetensors",
                work_dir / text / str(site),
                site,
                recipe.config_for(site),
                recipe.of_site(site),
                _metadata(host, text, recipe, site),
            )
            for site in missing
        ]
        _run_jobs(jobs, workers)


def _run_jobs(jobs: list[_Job], workers: int) -> None:
    if workers <= 1:
        for job in progress(jobs, "training SAEs", unit="SAE"):
            _train(job, torch.get_num_threads())
        return
    threads = max(1, torch.get_num_threads() // workers)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for done in progress(pool.map(_train, jobs, repeat(threads)), "training SAEs", unit="SAE"):
            logger.info("trained %s", done)


def _train(job: _Job, threads: int) -> str:
    torch.set_num_threads(threads)
    stored = load_file(job.activations)
    is_end, held_out_is_end = stored["is_question_end"].bool(), stored["held_out_is_question_end"].bool()
    weights, held_out_weights = (
        torch.where(ends, job.recipe.question_end_factor, 1.0) * stored[name]
        for ends, name in ((is_end, "weights"), (held_out_is_end, "held_out_weights"))
    )
    # Held-out tokens are drawn as the training tokens are, so that calibration sees the same distribution.
    generator = torch.Generator().manual_seed(job.config.seed)
    drawn = torch.multinomial(held_out_weights, len(held_out_weights), replacement=True, generator=generator)
    a = job.recipe.question_end_emphasis
    emphasis = Emphasis(torch.where(is_end, a, 1.0), torch.where(held_out_is_end[drawn], a, 1.0))
    sae, record = train_sae(
        stored["train"],
        weights,
        job.config,
        held_out=stored["held_out"][drawn],
        emphasis=emphasis if a != 1.0 else None,
        site=job.site,
        metadata=job.metadata,
    )
    part = job.output.with_name(f".{job.output.name}.part")
    sae.save(part)
    part.rename(job.output)
    return f"{job.site}: {record.seconds:.0f} s, final fvu {record.metrics[-1].fvu:.4f}, dead {record.dead_share:.2f}"


def _metadata(host: HostModel, text: str, recipe: SAERecipe, site: Site) -> dict[str, Any]:
    return {
        "model_name": BUNDLE_NAME,
        "dataset_path": f"clinic:{text}",
        "context_size": host.context_length,
        "prepend_bos": True,
        RECORD: {
            "host": host_record(host) | {"name": BUNDLE_NAME},
            "corpus": f"clinic:{text}",
            "recipe": asdict(recipe.of_site(site)),
            "sampling": SAMPLING,
        },
    }


def _harvest_to(store: Path, host: HostModel, text: str, recipe: SAERecipe) -> None:
    """One pass over the texts for all sites; one file per site."""
    train = _harvest(host, text, "train", recipe.n_tokens, recipe.seed)
    held_out = _harvest(host, text, "validation", recipe.n_held_out_tokens, recipe.seed)
    for site in host.sites:
        tensors = {
            "train": train.harvest.activations[site],
            "weights": train.weights,
            "is_question_end": train.is_question_end.byte(),
            "held_out": held_out.harvest.activations[site],
            "held_out_weights": held_out.weights,
            "held_out_is_question_end": held_out.is_question_end.byte(),
        }
        with written_whole(store / f"{site}.safetensors") as part:
            save_file(tensors, part)


@dataclass(frozen=True, eq=False)
class _Tokens:
    """Harvested tokens, their importance, and which of them end a question."""

    harvest: Harvest
    weights: Float[Tensor, " tokens"]
    is_question_end: Bool[Tensor, " tokens"]


def _harvest(host: HostModel, text: str, split: str, n_tokens: int, seed: int) -> _Tokens:
    documents = _documents(host, text, split, n_tokens, seed)
    found = harvest(host, (d.text for d in documents), host.sites, n_tokens=n_tokens, importance=True)
    return _Tokens(found, importance_weights(found), _question_ends(host, documents, found))


def _documents(host: HostModel, text: str, split: str, n_tokens: int, seed: int) -> list[Document]:
    """The first documents of a corpus that hold `n_tokens` tokens."""
    documents: list[Document] = []
    for chunk in count():
        new = document_chunk(text, chunk, split=split, seed=seed)
        documents += new
        n_tokens -= sum(map(len, host.tokenizer([d.text for d in new], add_special_tokens=False)["input_ids"]))
        if n_tokens <= 0:
            return documents
    raise AssertionError("a corpus has no end")


def _question_ends(host: HostModel, documents: list[Document], found: Harvest) -> Bool[Tensor, " tokens"]:
    """Tokens after which an answer is due, whatever the answer: the last token of each question."""
    encoded = host.tokenizer([d.text for d in documents], add_special_tokens=False, return_offsets_mapping=True)
    ends = torch.zeros(len(documents), int(found.positions.max()) + 1, dtype=torch.bool)
    for index, (document, offsets) in enumerate(zip(documents, encoded["offset_mapping"], strict=True)):
        for point in document.answer_points:
            position = 1 + max(i for i, (_, end) in enumerate(offsets) if end <= point.prompt_end)
            if position < ends.shape[1]:
                ends[index, position] = True
    return ends[found.document_ids, found.positions]
