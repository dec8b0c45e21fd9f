"""Adapts a host to a domain: reads the domain's text, trains on it, and says what it gained and what it forgot.

1. Tokenise the documents that may be trained on, once (``tokens.safetensors``).
2. Measure held-out perplexity of every named corpus (``adaptation.json``).
3. Train, with checkpoints that continue to the same bits.
4. Write the host as transformers does (``host/``), and measure again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.adaptation.held_out_loss import HeldOutLoss, measure_held_out_loss, perplexity_ratio
from experiments.adaptation.settings import AdaptationSettings
from experiments.adaptation.token_blocks import TokenBlocks
from experiments.adaptation.trained_model import save_adapted, trainable_model
from experiments.adaptation.training import train_on_blocks
from experiments.document_split import held_out_texts, training_texts
from sae.corpora import read_corpus
from sae.host.loading import load_tokenizer, locate_model, resolve_device
from sae.written_whole import written_whole

__all__ = ["Adaptation", "adapt"]

TOKENS, STATE, REPORT, HOST = "tokens.safetensors", "training.safetensors", "adaptation.json", "host"
N_HELD_OUT = 200
DOMAIN = "domain"


@dataclass(frozen=True)
class Adaptation:
    """What came of it.

    Attributes:
        host: Directory of the adapted host.
        report: What ``adaptation.json`` holds: settings, tokens, seconds, and for each corpus the perplexity before,
            after, and their ratio.
    """

    host: Path
    report: dict[str, Any]


def adapt(
    model: str,
    corpus: str,
    output: Path,
    settings: AdaptationSettings,
    *,
    others: Mapping[str, str] | None = None,
    device: str = "auto",
    checkpoint_every: int = 200,
    n_held_out: int = N_HELD_OUT,
) -> Adaptation:
    """Adapt a host; a run that was cut short continues from its last checkpoint.

    Args:
        model: Bundled name, directory or Hugging Face id.
        corpus: SPEC of the domain's text, as for `sae train`.
        output: Made if missing.
        settings: How.
        others: More corpora to measure held-out perplexity on, by name, to see what is forgotten.
        device: `auto`, `cpu`, `cuda`; under ``accelerate launch`` each process has its own.
        checkpoint_every: Updates.
        n_held_out: Held-out documents of each corpus.

    Raises:
        ValueError: The model or a corpus cannot be read, a corpus has no held-out document, or `output` holds another
            run.
    """
    accelerator = _accelerator(settings, device)
    with accelerator.main_process_first():
        path = locate_model(model)
    tokenizer = load_tokenizer(path)
    identity = {"model": model, "corpus": corpus, "settings": settings.to_json(), "others": dict(others or {})}
    with accelerator.main_process_first():
        report = _open_report(output / REPORT, identity)
        if report["perplexity"]:
            return Adaptation(output / HOST, report)
        blocks = _blocks(output / TOKENS, tokenizer, corpus, settings)
    texts = {name: _held_out(name, spec, n_held_out) for name, spec in ({DOMAIN: corpus} | dict(others or {})).items()}
    trained = trainable_model(path, settings, device=accelerator.device)

    def losses() -> dict[str, HeldOutLoss]:
        return {
            name: measure_held_out_loss(trained, tokenizer, some, context_length=settings.context_length)
            for name, some in texts.items()
        }

    before = losses()
    log = train_on_blocks(
        trained, blocks, settings, accelerator, state=output / STATE, checkpoint_every=checkpoint_every
    )
    report |= {
        "seconds": log.seconds,
        "tokens": {"corpus": blocks.n_tokens, "documents": blocks.n_documents, "sha256": blocks.digest},
        "history": log.history,
    }
    if accelerator.is_main_process:
        trained = save_adapted(trained, tokenizer, output / HOST)
        report["perplexity"] = _perplexities(before, losses())
        _write(output / REPORT, report)
    accelerator.wait_for_everyone()
    return Adaptation(output / HOST, json.loads((output / REPORT).read_text("utf-8")))


def _blocks(path: Path, tokenizer: Any, corpus: str, settings: AdaptationSettings) -> TokenBlocks:
    """The corpus as rows, from disk where it was tokenised before."""
    record = {
        "corpus": corpus,
        "vocabulary": len(tokenizer),
        "context_length": settings.context_length,
        "n_tokens": settings.n_tokens,
    }
    if (stored := TokenBlocks.load(path, record)) is not None:
        return stored
    texts = training_texts(read_corpus(corpus))
    blocks = TokenBlocks.pack(tokenizer, texts, context_length=settings.context_length, n_tokens=settings.n_tokens)
    blocks.save(path, record)
    return blocks


def _held_out(name: str, spec: str, n_documents: int) -> list[str]:
    texts = held_out_texts(read_corpus(spec), n_documents)
    if not texts:
        raise ValueError(f"corpus {spec!r} ({name}) has no held-out document, expected some; give more text")
    return texts


def _perplexities(before: Mapping[str, HeldOutLoss], after: Mapping[str, HeldOutLoss]) -> dict[str, Any]:
    return {
        name: {
            "before": before[name].perplexity().to_json(),
            "after": after[name].perplexity().to_json(),
            "ratio": perplexity_ratio(after[name], before[name]).to_json(),
        }
        for name in before
    }


def _accelerator(settings: AdaptationSettings, device: str) -> Any:
    """The processes that train together; one by itself unless it was started by ``accelerate launch``."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()  # else the precision of an earlier run in this process could not be changed
    on_cpu = resolve_device(device).type == "cpu"
    precision = "bf16" if settings.precision == "bfloat16" else "no"
    return Accelerator(mixed_precision=precision, gradient_accumulation_steps=settings.accumulation, cpu=on_cpu)


def _open_report(path: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """The report so far, or a new one on disk.

    Raises:
        ValueError: It is of another run.
    """
    expected = json.loads(json.dumps(identity))
    if not path.is_file():
        report: dict[str, Any] = expected | {"perplexity": {}}
        _write(path, report)
        return report
    report = json.loads(path.read_text("utf-8"))
    if {name: report.get(name) for name in expected} != expected:
        raise ValueError(
            f"output {str(path.parent)!r} holds another run, expected the same options; give another --out"
        )
    return report


def _write(path: Path, report: dict[str, Any]) -> None:
    with written_whole(path) as part:
        part.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", "utf-8")
