"""How long `circuits discover` takes, cold and in one process, and what attribution patching costs beside plain passes.

Run it as `python -m experiments.benchmarks.discover_speed`. It prints one JSON object: each figure with its median and
spread over the repeats, beside what it should stay under.
"""

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import torch

from circuits.discovery import discover
from circuits.effects.node_effects import score_nodes
from circuits.prompts.behaviour import describe_behaviour
from circuits.runs.baselines import contrast_baseline
from circuits.runs.runs import Runs, node_positions
from circuits.workbench import Workbench, open_workbench
from experiments.benchmarks.figures import larger_llama, machine, seconds, summary
from experiments.clinic.case_sampling import PairedCase, paired_cases
from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = ["main"]

REPEATS = 5
GATE_TOLERANCE = 1e-4


def main() -> None:
    """Gate, measure, print."""
    bench = open_workbench("clinic")
    pairs = list(islice(paired_cases(bench.host.tokenizer, seed=31), REPEATS + 1))
    _gate(bench, pairs[0])
    figures = {
        "help_seconds": (_repeat(_help), 0.3),
        "cold_discover_seconds": (_repeat(lambda: _cold(pairs[0])), 7.0),
        "cold_discover_peak_mb": ([_peak_memory_of_children()], 1500.0),
        "further_prompt_with_contrast_seconds": ([_further(bench, pair, True) for pair in pairs[1:]], 0.5),
        "further_lone_prompt_seconds": ([_further(bench, pair, False) for pair in pairs[1:]], 1.0),
        "attribution_patching_over_plain_passes_bundle": (_attribution_ratio(bench, pairs[0]), 1.25),
        "attribution_patching_over_plain_passes_8_layers_d512": (_attribution_ratio(*_larger(bench)), 1.05),
    }
    summaries = {name: summary(values, at_most=bar) for name, (values, bar) in figures.items()}
    print(json.dumps({"machine": machine(), "figures": summaries}, indent=1))


def _repeat(measure: Callable[[], float]) -> list[float]:
    measure()
    return [measure() for _ in range(REPEATS)]


def _gate(bench: Workbench, pair: PairedCase) -> None:
    """Integrated gradients must nearly sum to the exact effect of each site before anything is timed."""
    circuit = discover(pair.test_case.prompt, contrast=pair.contrasts[0].prompt, workbench=bench, ig_steps=200, top_k=5)
    gap = abs(circuit.metric.clean - circuit.metric.baseline)
    worst = max((circuit.site_residuals or {}).values())
    if worst > max(GATE_TOLERANCE, 0.01 * gap):
        raise ValueError(f"effects miss the exact effect of their site by {worst:.4f} of {gap:.4f}; nothing was timed")


def _program(*arguments: str) -> list[str]:
    return [sys.executable, "-c", f"import sys; from circuits.cli import main; main({list(arguments)!r})"]


def _help() -> float:
    return seconds(lambda: subprocess.run(_program("--help"), check=True, capture_output=True))


def _cold(pair: PairedCase) -> float:
    with tempfile.TemporaryDirectory() as folder:
        arguments = ("discover", "--prompt", pair.test_case.prompt, "--out", str(Path(folder) / "out"))
        return seconds(lambda: subprocess.run(_program(*arguments), check=True, capture_output=True))


def _peak_memory_of_children() -> float:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def _further(bench: Workbench, pair: PairedCase, with_contrast: bool) -> float:
    contrast = pair.contrasts[0].prompt if with_contrast else None
    return seconds(lambda: discover(pair.test_case.prompt, contrast=contrast, workbench=bench))


def _larger(bench: Workbench) -> tuple[Workbench, PairedCase]:
    """Eight layers of width 512 with random weights, and random dictionaries of 4096 features."""
    model = larger_llama(bench.host.vocab_size)
    host = HostModel(model, bench.host.tokenizer, name="random weights, 8 layers, d 512")
    saes = {site: _random_sae(site, 512, 4096) for site in host.sites if site.kind == "resid_post"}
    return Workbench(host, saes, {site: {} for site in saes}), next(paired_cases(bench.host.tokenizer, seed=32))


def _random_sae(site: Site, d_model: int, d_sae: int) -> SAE:
    rows = torch.nn.functional.normalize(torch.randn(d_sae, d_model), dim=-1)
    zeros = torch.zeros(d_sae)
    return SAE(
        encoder_rows=rows, b_enc=zeros, decoder_rows=rows, b_dec=torch.zeros(d_model), threshold=zeros + 1.5, site=site
    )


def _attribution_ratio(bench: Workbench, pair: PairedCase) -> list[float]:
    """Capture of the contrast, gradients of the prompt and contraction, over two plain forwards and one backward.

    Encoding is left out on both sides: it is the dictionary's cost, not the rule's.
    """
    host, saes = bench.host, bench.dictionaries
    behaviour = describe_behaviour(
        host,
        pair.test_case.prompt,
        contrast=pair.contrasts[0].prompt,
        target=pair.test_case.answer,
        foil=pair.contrasts[0].answer,
    )
    assert behaviour.contrast_ids is not None
    baseline = contrast_baseline(host, saes, behaviour.contrast_ids, node_positions(host, behaviour))
    runs = Runs.record(host, behaviour, saes, baseline)
    _ = runs.clean_features
    clean, contrast = host.batch([behaviour.prompt_ids]), host.batch([behaviour.contrast_ids])

    def plain() -> None:
        host.forward(contrast, logits_to_keep=1)
        host.gradients(clean, [host.sites[0]], behaviour.metric, logits_to_keep=1)

    def attribution() -> None:
        host.capture(contrast, runs.sites)
        score_nodes(runs, "attribution_patching")

    for action in (plain, attribution):
        action()
    return [seconds(attribution) / seconds(plain) for _ in range(8 * REPEATS)]


if __name__ == "__main__":
    main()
