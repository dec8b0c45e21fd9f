"""The small Llama `stories260K`, which writes children's stories, from its llama2.c export to transformers."""

import shutil
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, processors
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

__all__ = ["convert_stories", "read_llama2c_model", "read_llama2c_tokenizer"]

MODEL_FILE, TOKENIZER_FILE = "stories260K.bin", "tok512.bin"
SPECIAL_TOKENS = ["<unk>", "<s>", "</s>"]


def convert_stories(source: Path, target: Path) -> Path:
    """Write the model and its tokenizer to `target` as transformers does.

    Args:
        source: Holds `stories260K.bin` and `tok512.bin`.
        target: The whole of it or nothing; made if missing.

    Raises:
        ValueError: A file is missing.
    """
    for name in (MODEL_FILE, TOKENIZER_FILE):
        if not (source / name).is_file():
            raise ValueError(
                f"{source} has no {name}, expected {MODEL_FILE} and {TOKENIZER_FILE} as llama2.c exports them; "
                "check the path"
            )
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    _write(source, part)
    part.rename(target)
    return target


def _write(source: Path, target: Path) -> None:
    logging.disable_progress_bar()
    try:
        read_llama2c_model(source / MODEL_FILE).save_pretrained(target)
    finally:
        logging.enable_progress_bar()
    read_llama2c_tokenizer(source / TOKENIZER_FILE).save_pretrained(target)


def read_llama2c_model(path: Path) -> LlamaForCausalLM:
    """Seven integers, then the weights in float32, matrices of all layers together."""
    data = path.read_bytes()
    dim, hidden, n_layers, n_heads, n_kv_heads, vocab_size, seq_len = struct.unpack("7i", data[:28])
    config = LlamaConfig(
        hidden_size=dim,
        intermediate_size=hidden,
        num_hidden_layers=n_layers,
        num_attention_heads=n_heads,
        num_key_value_heads=n_kv_heads,
        vocab_size=vocab_size,
        max_position_embeddings=seq_len,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    kv_dim = dim * n_kv_heads // n_heads
    shapes = {
        "embed_tokens": (vocab_size, dim),
        "input_layernorm": (n_layers, dim),
        "self_attn.q_proj": (n_layers, dim, dim),
        "self_attn.k_proj": (n_layers, kv_dim, dim),
        "self_attn.v_proj": (n_layers, kv_dim, dim),
        "self_attn.o_proj": (n_layers, dim, dim),
        "post_attention_layernorm": (n_layers, dim),
        "mlp.gate_proj": (n_layers, hidden, dim),
        "mlp.down_proj": (n_layers, dim, hidden),
        "mlp.up_proj": (n_layers, hidden, dim),
        "norm": (dim,),
    }
    weights = dict(zip(shapes, _split(np.frombuffer(data, np.float32, offset=28), shapes.values()), strict=True))
    for name, heads in (("self_attn.q_proj", n_heads), ("self_attn.k_proj", n_kv_heads)):
        weights[name] = torch.stack([_half_split(matrix, heads) for matrix in weights[name]])
    model = LlamaForCausalLM(config)
    report = model.load_state_dict(dict(_state(weights)), strict=False)
    assert report.missing_keys == ["lm_head.weight"], "only the tied unembedding is not in the file"
    return model.eval()


def _split(values: np.ndarray, shapes: Iterable[tuple[int, ...]]) -> Iterator[Tensor]:
    start = 0
    for shape in shapes:
        size = int(np.prod(shape))
        yield torch.from_numpy(values[start : start + size].copy()).view(shape)
        start += size


def _half_split(matrix: Tensor, n_heads: int) -> Tensor:
    """Rotary pairs from neighbouring rows (llama2.c) to rows half a head apart (transformers)."""
    rows, columns = matrix.shape
    return matrix.view(n_heads, rows // n_heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)


def _state(weights: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, weight in weights.items():
        if name in ("embed_tokens", "norm"):
            yield f"model.{name}.weight", weight
            continue
        for layer, matrix in enumerate(weight):
            yield f"model.layers.{layer}.{name}.weight", matrix


def read_llama2c_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """A byte-pair encoding whose merges are the pairs that give a token, best score first."""
    pieces = list(_pieces(path.read_bytes()))
    texts = [*SPECIAL_TOKENS, *(text for text, _ in pieces[len(SPECIAL_TOKENS) :])]
    ids = {text: index for index, text in enumerate(texts)}
    scores = dict(zip(texts, (score for _, score in pieces), strict=True))
    merges = [(text[:cut], text[cut:]) for text in texts for cut in range(1, len(text))]
    merges = [(left, right) for left, right in merges if left in ids and right in ids]
    merges.sort(key=lambda pair: (-scores[pair[0] + pair[1]], ids[pair[0]], ids[pair[1]]))
    tokenizer = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Prepend(" ")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def _pieces(data: bytes) -> Iterator[tuple[str, float]]:
    offset = 4
    while offset < len(data):
        score, length = struct.unpack_from("fi", data, offset)
        offset += 8
        yield data[offset : offset + length].decode("utf-8"), score
        offset += length
