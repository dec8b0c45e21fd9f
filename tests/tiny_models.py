"""Small random models and dictionaries that tests build on."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from sae.dictionary.autoencoder import SAE
from sae.dictionary.transcoder import Transcoder
from sae.host.host import HostModel
from sae.host.sites import Site

SPECIAL_TOKENS = ["<pad>", "<bos>", "<eos>", "<unk>"]
WORDS = [f"w{index}" for index in range(44)]
SIZES: dict[str, Any] = {
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
GEMMA: dict[str, Any] = {**SIZES, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 4}
NEOX: dict[str, Any] = {name: value for name, value in SIZES.items() if name != "num_key_value_heads"}
VISION = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 28,
    "patch_size": 14,
}
FAMILY_SETTINGS: dict[str, dict[str, Any]] = {
    "llama": SIZES,
    "qwen2": SIZES,
    "qwen3": {**SIZES, "head_dim": 8},
    "gemma2": {**GEMMA, "final_logit_softcapping": 3.0},
    "gemma3_text": GEMMA,
    "gemma3": {"text_config": GEMMA, "vision_config": VISION},
    "gpt_neox": NEOX,
    "gpt_neox sequential": {**NEOX, "use_parallel_residual": False},
}
"""Configurations of every supported family, by model type and what sets a second one apart."""


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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(LlamaConfig(**{**SIZES, **overrides})).eval()


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


def tiny_family_model(name: str, *, seed: int = 0) -> PreTrainedModel:
    """A random model of three layers and width 32 of a family, with norms that are not all alike."""
    logging.set_verbosity_error()
    config = AutoConfig.for_model(name.split()[0], **FAMILY_SETTINGS[name])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config).eval()
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.data += 0.2 * torch.randn_like(parameter)
    return model


def tiny_family(name: str, *, seed: int = 0) -> HostModel:
    """The random model of a family as a host, in memory."""
    return HostModel(tiny_family_model(name, seed=seed), tiny_tokenizer(), name=f"tiny {name}")


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


def random_transcoder(
    layer: int, *, d_model: int = 32, d_sae: int = 64, seed: int = 0, skip: bool = False
) -> Transcoder:
    """A random transcoder from a layer's MLP input to its output."""
    like = random_sae(d_model, d_sae, seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    decoder_rows = torch.randn(d_sae, d_model, generator=generator)
    return Transcoder(
        input_site=Site("mlp_in", layer),
        site=Site("mlp_out", layer),
        w_skip=0.2 * torch.randn(d_model, d_model, generator=generator) if skip else None,
        encoder_rows=like.encoder_rows,
        b_enc=like.b_enc,
        decoder_rows=torch.nn.functional.normalize(decoder_rows, dim=-1),
        b_dec=like.b_dec,
        threshold=like.threshold,
    )
