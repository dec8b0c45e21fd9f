"""Small random models and dictionaries that tests build on."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.host.sites import Site

SPECIAL_TOKENS = ["<pad>", "<bos>", "<eos>", "<unk>"]
WORDS = [f"w{index}" for index in range(44)]


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word, `w0` to `w43` as ids 4 to 47; BOS is put in front."""
    vocabulary = {word: index for index, word in enumerate([*SPECIAL_TOKENS, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    names = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def tiny_llama_model(*, seed: int = 0, **overrides: Any) -> LlamaForCausalLM:
    """A random Llama of three layers and width 32; `overrides` go to its configuration."""
    settings: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 64,
        "vocab_size": 48,
        "max_position_embeddings": 64,
        "initializer_range": 0.2,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(LlamaConfig(**{**settings, **overrides})).eval()


def save_tiny_llama(path: Path, *, seed: int = 0, **overrides: Any) -> Path:
    """Write the random Llama and its tokenizer as a transformers directory."""
    logging.disable_progress_bar()
    try:
        tiny_llama_model(seed=seed, **overrides).save_pretrained(path)
    finally:
        logging.enable_progress_bar()
    tiny_tokenizer().save_pretrained(path)
    return path


def tiny_llama(*, seed: int = 0, **overrides: Any) -> HostModel:
    """The random Llama as a host, in memory."""
    return HostModel(tiny_llama_model(seed=seed, **overrides), tiny_tokenizer(), name="tiny")


def random_sae(d_model: int = 32, d_sae: int = 64, site: Site | None = None, seed: int = 0) -> SAE:
    """A random dictionary of which about a third of the features are active on activations of unit scale."""
    generator = torch.Generator().manual_seed(seed)
    decoder_rows = torch.nn.functional.normalize(torch.randn(d_sae, d_model, generator=generator), dim=-1)
    return SAE(
        encoder_rows=decoder_rows + 0.1 * torch.randn(d_sae, d_model, generator=generator),
        b_enc=0.1 * torch.randn(d_sae, generator=generator),
        decoder_rows=decoder_rows,
        b_dec=0.1 * torch.randn(d_model, generator=generator),
        threshold=torch.full((d_sae,), 0.4),
        site=site,
    )
