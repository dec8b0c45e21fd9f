"""How fast activations are harvested beside the plain forward pass, and how fast a store feeds training.

Run it as `python -m experiments.benchmarks.harvest_speed`. It prints one JSON object: each figure with its median and
spread over the repeats, beside what it should be at least.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from transformers import LlamaForCausalLM

from experiments.benchmarks.figures import larger_llama, machine, seconds, summary
from experiments.clinic.corpus import clinic_corpus
from sae.activations.documents import Document, DocumentReader, batches_of_similar_length
from sae.activations.harvest import harvest_batches
from sae.activations.store.harvesting import harvest_to_store
from sae.activations.store.source import StoreSource
from sae.activations.store.store import ActivationStore
from sae.activations.store.writer import StoreWriter
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.host.token_batch import TokenBatch

__all__ = ["main"]

REPEATS = 5
N_STORED_TOKENS = 40_000
BATCH_TOKENS = 2048
GATE_TOLERANCE = 1e-4
TRAINING_TOKENS_PER_SECOND = 93_000
"""What training takes on one core at d_model 128."""
FINISH = StoreWriter.finish


def main() -> None:
    """Gate, measure, print."""
    figures: dict[str, Any] = {}
    for name, n_tokens, (model, layer) in (
        ("bundle, 4 layers, d 128, to layer 2", 60_000, _bundled()),
        ("random weights, 8 layers, d 512, to layer 3", 5000, _larger()),
    ):
        host = HostModel(model, HostModel.load("clinic").tokenizer, name=name)
        _gate(host, model, layer)
        figures[f"plain_forward_over_harvest {name}"] = summary(
            _harvest_ratios(host, model, layer, n_tokens), at_least=0.95
        )
    for dtype in ("bfloat16", "int8"):
        for importance in (False, True):
            name = f"store_tokens_per_second {dtype} {'weighted' if importance else 'in turn'}"
            figures[name] = summary(_feed(dtype, importance), at_least=5 * TRAINING_TOKENS_PER_SECOND)
    print(json.dumps({"machine": machine(), "figures": figures}, indent=1))


def _bundled() -> tuple[Any, int]:
    path = HostModel.load("clinic").path
    return LlamaForCausalLM.from_pretrained(path).eval(), 2


def _larger() -> tuple[Any, int]:
    """Eight layers of width 512 with random weights."""
    return larger_llama(HostModel.load("clinic").vocab_size), 3


def _texts(n_tokens: int) -> list[str]:
    return list(islice(clinic_corpus("clinical", seed=0), n_tokens // 15))


def _documents(host: HostModel, texts: Sequence[str], n_tokens: int) -> list[Document]:
    return DocumentReader(host, texts, context_tokens=host.context_length).take(n_tokens)


@torch.no_grad()
def _plain(model: Any, batches: Sequence[TokenBatch], layer: int) -> torch.Tensor:
    """The model's own layers up to `layer`, without anything of ours; gives the last batch's activations."""
    layers, model.model.layers = model.model.layers, model.model.layers[: layer + 1]
    norm, model.model.norm = model.model.norm, torch.nn.Identity()
    try:
        for batch in batches:
            inputs = {"attention_mask": batch.attention_mask, "position_ids": batch.position_ids, "use_cache": False}
            output = model.model(input_ids=batch.ids, **inputs).last_hidden_state
    finally:
        model.model.layers, model.model.norm = layers, norm
    return output


def _batches(host: HostModel, documents: list[Document]) -> list[TokenBatch]:
    grouped = batches_of_similar_length(documents, max_tokens=8192)
    return [host.batch([document.ids for document in batch]) for batch in grouped]


def _gate(host: HostModel, model: Any, layer: int) -> None:
    """What is harvested must be what the plain layers give before anything is timed."""
    documents = _documents(host, _texts(500), 500)
    site = Site("resid_post", layer)
    [found] = harvest_batches(host, [documents], [site])
    batch = host.batch([document.ids for document in documents])
    worst = float((found.activations[site] - _plain(model, [batch], layer)[batch.node_mask]).abs().max())
    if worst > GATE_TOLERANCE:
        raise ValueError(f"harvested activations are off by {worst:.2g}; nothing was timed")


def _harvest_ratios(host: HostModel, model: Any, layer: int, n_tokens: int) -> list[float]:
    """Texts tokenised and run through the plain layers, against texts tokenised, run, rounded, summed and put away.

    Putting rows in order, which needs no host, is left out.
    """
    texts = _texts(2 * n_tokens)

    def run_plainly() -> None:
        _plain(model, _batches(host, _documents(host, texts, n_tokens)), layer)

    def gather(folder: str) -> None:
        harvest_to_store(
            host,
            texts,
            [Site("resid_post", layer)],
            corpus="benchmark",
            n_tokens=n_tokens - 512,
            held_out_tokens=512,
            out=Path(folder) / "store",
        )

    def ratio() -> float:
        plain = seconds(run_plainly)
        with tempfile.TemporaryDirectory() as folder, _shuffling_timed() as shuffling:
            harvested = seconds(lambda: gather(folder)) - sum(shuffling)
        return plain / harvested

    ratio()
    return [ratio() for _ in range(REPEATS)]


@contextmanager
def _shuffling_timed() -> Iterator[list[float]]:
    """Notes how long `StoreWriter.finish` takes."""
    shuffling: list[float] = []
    with patch.object(StoreWriter, "finish", lambda writer: shuffling.append(seconds(lambda: FINISH(writer)))):
        yield shuffling


def _feed(dtype: str, importance: bool) -> list[float]:
    """Tokens a second that a store of the bundled host gives in batches, its files read before."""
    host, site = HostModel.load("clinic"), Site("resid_post", 2)
    with tempfile.TemporaryDirectory() as folder:
        harvest_to_store(
            host,
            _texts(2 * N_STORED_TOKENS),
            [site],
            corpus="benchmark",
            n_tokens=N_STORED_TOKENS,
            out=Path(folder) / "store",
            dtype=dtype,
            importance=importance,
        )
        source = StoreSource(ActivationStore.open(Path(folder) / "store"))

        def draw() -> None:
            for _ in range(100):
                source.draw(BATCH_TOKENS)

        draw()
        return [100 * BATCH_TOKENS / seconds(draw) for _ in range(REPEATS)]


if __name__ == "__main__":
    main()
