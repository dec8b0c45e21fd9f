"""Profile `llama-3.2-3b-random`: the same with random weights of the true shape, and as little as makes it run."""

import gc
import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from experiments.adaptation.adapting import adapt
from experiments.adaptation.settings import AdaptationSettings
from experiments.domain_vs_broad.host_shape import HostShape
from experiments.domain_vs_broad.profiles.llama_3b import ADAPTED, llama_3b
from experiments.domain_vs_broad.profiles.profile import CASES, Profile
from experiments.random_llama import LLAMA_3_2_3B, random_llama
from sae.bundle import find_bundle
from sae.host.loading import load_tokenizer, progress_only_for_terminals

__all__ = ["llama_3b_random", "random_profile"]

LABEL = "random weights: shows that it runs and what it costs, nothing else"
INITIAL = "initial"
CONTEXT = 32
HELD_OUT_DOCUMENTS = 8
ADAPTATION = AdaptationSettings(
    n_tokens=4 * 4 * CONTEXT,
    context_length=CONTEXT,
    batch_size=4,
    learning_rate=1e-3,
    lora_rank=8,
    precision="bfloat16",
)
"""Four updates."""


def llama_3b_random(hosts: Path, data: Path | None) -> Profile:
    """Weights are made in `hosts`; text is that of profile `clinic`, cut to 32 tokens.

    Raises:
        ValueError: The bundled model, whose tokenizer is used, is not installed.
    """
    return random_profile(hosts, LLAMA_3_2_3B, site=llama_3b(hosts, data).site)


def random_profile(hosts: Path, config: Mapping[str, Any], *, site: str) -> Profile:
    """The same of any shape.

    Args:
        hosts: Where weights are made.
        config: Of the host, as of `transformers.LlamaConfig`.
        site: Where dictionaries are trained.

    Raises:
        ValueError: As `llama_3b_random`.
    """
    return replace(
        llama_3b(hosts, None),
        name="llama-3.2-3b-random",
        label=LABEL,
        hosts=(("before", str(hosts / INITIAL)), ("after", str(hosts / ADAPTED / "host"))),
        site=site,
        domain="clinic:clinical",
        broad="clinic:broad",
        judged_domain="clinic:clinical:split=test",
        judged_broad="clinic:broad:split=test",
        arms=("domain", "broad"),
        d_sae=1024,
        l0=(20.0,),
        n_tokens=16_384,
        harvested=2048,
        seeds=(0,),
        nulls=("random", "pca"),
        measured=None,
        evaluated=256,
        context=CONTEXT,
        shape=HostShape.of_llama(config),
        adaptation=ADAPTATION,
        warning=CASES + LABEL.capitalize() + ".",
        build=partial(_build, hosts, config, _tokenizer_directory()),
    )


def _tokenizer_directory() -> Path:
    bundle = find_bundle("clinic")
    if bundle is None:
        raise ValueError("the bundled model 'clinic' is not installed; reinstall domain-circuits")
    return bundle.host


def _build(hosts: Path, config: Mapping[str, Any], tokenizer: Path, device: str) -> None:
    initial = hosts / INITIAL
    if not initial.exists():
        _write_initial(initial, config, tokenizer)
    adapt(
        str(initial),
        "clinic:clinical",
        hosts / ADAPTED,
        ADAPTATION,
        others={"broad": "clinic:broad"},
        device=device,
        n_held_out=HELD_OUT_DOCUMENTS,
    )
    gc.collect()  # the adapted host refers to itself: without this the next one is loaded beside it


def _write_initial(directory: Path, config: Mapping[str, Any], tokenizer: Path) -> None:
    unfinished = directory.with_name(f".{directory.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    with progress_only_for_terminals():
        random_llama(config).save_pretrained(unfinished)
    load_tokenizer(tokenizer).save_pretrained(unfinished)
    unfinished.rename(directory)
