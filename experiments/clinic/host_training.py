"""Trains the clinical host: a small Llama that reads everyday text first and clinical text after.

1. Learn a tokenizer, and tokenise the documents (cached).
2. Stage ``broad``: everyday text only. The result is ``host-broad``.
3. Stage ``clinical``: mostly clinical text, starting from ``host-broad``. The result is ``host``.
"""

import json
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from shutil import rmtree
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from experiments.clinic.corpus import broad_texts, clinical_texts, document_chunk
from experiments.clinic.host_accuracy import AnswerTest
from experiments.clinic.host_config import HostTrainingConfig
from experiments.clinic.host_data import BatchStream, load_or_build_dataset
from experiments.clinic.host_stage import Stage, train_stage
from experiments.clinic.knowledge import DISEASES, DRUG_CLASSES
from experiments.clinic.tokenizer import BOS_ID, CONTEXT_LENGTH, EOS_ID, PAD_ID, train_tokenizer
from sae.written_whole import written_whole

__all__ = ["HostTrainingConfig", "initial_host", "save_host", "train_host"]


def train_host(work_dir: Path, config: HostTrainingConfig | None = None, *, seed: int = 0) -> None:
    """Train the host in `work_dir`; a run that was cut short continues from its last checkpoint.

    Writes ``host-broad`` and ``host`` (see `save_host`) and ``host_training.json``: config, seed, and per
    stage the seconds, losses and accuracies.

    Args:
        work_dir: Made if missing; also holds ``tokenizer``, ``data`` and ``checkpoints``.
        config: All settings; by default those of the bundled host.
        seed: Of the weights, the documents and their order.

    Raises:
        ValueError: If `work_dir` holds a run with another config or seed.
    """
    config = config or HostTrainingConfig()
    report_path = work_dir / "host_training.json"
    report = _open_report(report_path, config, seed)
    tokenizer = _load_or_train_tokenizer(work_dir / "tokenizer", config, seed)
    broad_stage, clinical_stage = _stages(work_dir, tokenizer, config, seed)

    def run(stage: Stage, model: LlamaForCausalLM, directory: Path) -> None:
        report["stages"][stage.name] = train_stage(model, stage, config)
        _write_json(report_path, report)
        save_host(model, tokenizer, directory)

    host_broad, host = work_dir / "host-broad", work_dir / "host"
    if not host_broad.exists():
        run(broad_stage, initial_host(config, len(tokenizer), seed=seed), host_broad)
    if not host.exists():
        run(clinical_stage, LlamaForCausalLM.from_pretrained(host_broad), host)


def initial_host(config: HostTrainingConfig, vocab_size: int, *, seed: int) -> LlamaForCausalLM:
    """A host with random weights; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=vocab_size,
                hidden_size=config.d_model,
                intermediate_size=config.d_mlp,
                num_hidden_layers=config.n_layers,
                num_attention_heads=config.n_heads,
                num_key_value_heads=config.n_kv_heads,
                max_position_embeddings=CONTEXT_LENGTH,
                tie_word_embeddings=True,
                initializer_range=config.initial_std,
                pad_token_id=PAD_ID,
                bos_token_id=BOS_ID,
                eos_token_id=EOS_ID,
            )
        )


def save_host(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, directory: Path) -> None:
    """Write model and tokenizer as transformers does, at once or not at all.

    Weights are rounded to bfloat16 and stored so, while ``config.json`` says float32: a plain
    ``from_pretrained`` gives float32 parameters with exactly the stored values. `model` itself is rounded.
    """
    unfinished = directory.with_name(f"{directory.name}.tmp")
    rmtree(unfinished, ignore_errors=True)
    model.bfloat16().save_pretrained(unfinished)
    settings = json.loads((unfinished / "config.json").read_text("utf-8"))
    _write_json(unfinished / "config.json", settings | {"dtype": "float32"})
    model.float()
    tokenizer.save_pretrained(unfinished)
    unfinished.rename(directory)


def _stages(
    work_dir: Path, tokenizer: PreTrainedTokenizerFast, config: HostTrainingConfig, seed: int
) -> tuple[Stage, Stage]:
    """Both stages with their data, which is made where it is missing."""
    broad, clinical = (
        load_or_build_dataset(
            work_dir / "data" / f"{name}.safetensors", name, n, tokenizer, seed=seed, workers=config.workers
        )
        for name, n in (("broad", config.broad_documents), ("clinical", config.clinical_documents))
    )

    def stage(name: str, stream: BatchStream, n_steps: int) -> Stage:
        documents = document_chunk(name, 0, split="validation", seed=seed)[: config.test_documents]
        test = AnswerTest.from_documents(documents, tokenizer)
        return Stage(name, stream, n_steps, test, work_dir / "checkpoints" / f"{name}.safetensors")

    return (
        stage("broad", BatchStream(broad, None, 0.0, config.batch_size, seed), config.steps_broad),
        stage(
            "clinical",
            BatchStream(clinical, broad, config.broad_share, config.batch_size, seed),
            config.steps_clinical,
        ),
    )


def _load_or_train_tokenizer(directory: Path, config: HostTrainingConfig, seed: int) -> PreTrainedTokenizerFast:
    """The tokenizer in `directory`, learned from the training texts where there is none."""
    if not directory.exists():
        texts = chain(
            islice(clinical_texts(seed=seed), config.tokenizer_clinical_documents),
            islice(broad_texts(seed=seed), config.tokenizer_broad_documents),
        )
        tokenizer = train_tokenizer(texts, [*DISEASES, *DRUG_CLASSES], config.vocab_size)
        unfinished = directory.with_name(f"{directory.name}.tmp")
        tokenizer.save_pretrained(unfinished)
        unfinished.rename(directory)
    return PreTrainedTokenizerFast.from_pretrained(directory)


def _open_report(path: Path, config: HostTrainingConfig, seed: int) -> dict[str, Any]:
    """The report so far, or a new one on disk.

    Raises:
        ValueError: If it belongs to another run.
    """
    identity = json.loads(json.dumps({"seed": seed, "config": asdict(config)}))
    if path.exists():
        report: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if {key: report.get(key) for key in identity} != identity:
            raise ValueError(f"{path} is of a run with another config or seed; remove it or use another directory")
        return report
    report = {**identity, "stages": {}}
    _write_json(path, report)
    return report


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with written_whole(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
