"""Trains a small Llama on a directory of real text: on ``broad/`` from nothing, then on ``medical/``.

1. Learn a tokenizer from both (``initial/``), with a Llama of random weights beside it.
2. Pre-train it on broad text (``broad/host``).
3. Adapt it to medical text (``adapted/host``).

Each stage is an `experiments.adaptation` of its own and continues where it was cut short.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from experiments.adaptation.adapting import Adaptation, adapt
from experiments.adaptation.settings import AdaptationSettings
from experiments.byte_level_tokenizer import BOS_ID, EOS_ID, PAD_ID, byte_level_tokenizer
from experiments.document_split import training_texts
from sae.corpora import read_corpus

__all__ = [
    "BROAD",
    "LARGE",
    "MEDICAL",
    "SMALL",
    "RealTextHosts",
    "RealTextRecipe",
    "text_directories",
    "train_real_text_hosts",
]

BROAD, MEDICAL = "broad", "medical"
TOKENIZER_DOCUMENTS = 4000


@dataclass(frozen=True)
class RealTextRecipe:
    """Size and training of the host.

    Attributes:
        d_model: Width of the stream.
        n_layers: Layers.
        n_heads: Attention heads; half as many hold keys and values.
        d_mlp: Width of the MLPs.
        vocab_size: Tokens of the tokenizer at most.
        broad: How it is pre-trained.
        medical: How it is adapted.
    """

    d_model: int
    n_layers: int
    n_heads: int
    d_mlp: int
    vocab_size: int
    broad: AdaptationSettings
    medical: AdaptationSettings


SMALL = RealTextRecipe(
    d_model=192,
    n_layers=4,
    n_heads=6,
    d_mlp=512,
    vocab_size=4096,
    broad=AdaptationSettings(n_tokens=12_000_000, context_length=256, batch_size=16, learning_rate=2e-3),
    medical=AdaptationSettings(n_tokens=3_000_000, context_length=256, batch_size=16, learning_rate=1e-3),
)
"""3 million parameters: hours on two CPU cores."""
LARGE = RealTextRecipe(
    d_model=512,
    n_layers=8,
    n_heads=8,
    d_mlp=1536,
    vocab_size=8192,
    broad=AdaptationSettings(
        n_tokens=60_000_000, context_length=512, batch_size=64, learning_rate=1e-3, precision="bfloat16"
    ),
    medical=AdaptationSettings(
        n_tokens=30_000_000, context_length=512, batch_size=64, learning_rate=5e-4, precision="bfloat16"
    ),
)
"""30 million parameters: minutes on a GPU."""


@dataclass(frozen=True)
class RealTextHosts:
    """Both hosts with the reports of their training."""

    broad: Adaptation
    adapted: Adaptation


def train_real_text_hosts(
    data: Path, work: Path, recipe: RealTextRecipe, *, device: str = "auto", checkpoint_every: int = 200, seed: int = 0
) -> RealTextHosts:
    """Train both hosts in `work`, as far as they are not there already.

    Args:
        data: Holds ``broad/`` and ``medical/``, each a directory of text files.
        work: Made if missing.
        recipe: Which size.
        device: Where to train.
        checkpoint_every: Updates.
        seed: Of the weights and of the order of rows.

    Raises:
        ValueError: A directory is missing or holds no text, or `work` holds another run.
    """
    corpora = text_directories(data)
    initial = work / "initial"
    if not initial.exists():
        _write_initial(initial, corpora, recipe, seed)

    def stage(name: str, model: Path, corpus: str, other: str, settings: AdaptationSettings) -> Adaptation:
        return adapt(
            str(model),
            corpora[corpus],
            work / name,
            replace(settings, seed=seed),
            others={other: corpora[other]},
            device=device,
            checkpoint_every=checkpoint_every,
        )

    broad = stage("broad", initial, BROAD, MEDICAL, recipe.broad)
    return RealTextHosts(broad, stage("adapted", broad.host, MEDICAL, BROAD, recipe.medical))


def text_directories(data: Path) -> dict[str, str]:
    """SPECs of the broad and of the medical text below a directory, by name.

    Raises:
        ValueError: One of them is missing.
    """
    for name in (BROAD, MEDICAL):
        if not (data / name).is_dir():
            raise ValueError(
                f"data {str(data)!r} has no directory {name!r}, expected {BROAD}/ and {MEDICAL}/ with text files"
            )
    return {name: str(data / name) for name in (BROAD, MEDICAL)}


def _write_initial(directory: Path, corpora: dict[str, str], recipe: RealTextRecipe, seed: int) -> None:
    """Tokenizer and random weights, written as transformers does."""
    halves = (islice(training_texts(read_corpus(spec)), TOKENIZER_DOCUMENTS // 2) for spec in corpora.values())
    texts: Iterator[str] = chain.from_iterable(halves)
    context_length = max(recipe.broad.context_length, recipe.medical.context_length)
    tokenizer = byte_level_tokenizer(texts, vocab_size=recipe.vocab_size, context_length=context_length)
    unfinished = directory.with_name(f".{directory.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    _random_llama(recipe, tokenizer, context_length, seed).save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    unfinished.rename(directory)


def _random_llama(
    recipe: RealTextRecipe, tokenizer: PreTrainedTokenizerFast, context_length: int, seed: int
) -> LlamaForCausalLM:
    configuration = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.d_model,
        intermediate_size=recipe.d_mlp,
        num_hidden_layers=recipe.n_layers,
        num_attention_heads=recipe.n_heads,
        num_key_value_heads=recipe.n_heads // 2,
        max_position_embeddings=context_length,
        tie_word_embeddings=True,
        pad_token_id=PAD_ID,
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(configuration)
