"""Effects that were scored before, kept on disk under the hash of all that they follow from.

The key is of what goes in: activations of the clean and the baseline run, the metric, the dictionaries and the rule.
Two runs with one key have the same effects, whatever the model's files are called.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from circuits.effects.node_effects import NodeEffects, SiteEffects
from circuits.runs.runs import Runs
from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site
from sae.written_whole import written_whole

__all__ = ["StageCache"]


@dataclass(frozen=True)
class StageCache:
    """A folder of node effects.

    Attributes:
        folder: Made when the first effects are kept.
    """

    folder: Path

    def effects(self, runs: Runs, score: Callable[[], NodeEffects], **rule: Any) -> NodeEffects:
        """Those on disk, or else `score()`, which are then kept.

        Args:
            runs: What is scored.
            score: Scores it.
            rule: By which method and options.
        """
        path = self.folder / f"{_key(runs, rule)}.safetensors"
        if (found := _read(path)) is not None:
            return found
        effects = score()
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            f"{site}/{field.name}": torch.as_tensor(getattr(scored, field.name)).contiguous()
            for site, scored in effects.items()
            for field in fields(scored)
        }
        with written_whole(path) as part:
            save_file(tensors, part)
        return effects


def _read(path: Path) -> NodeEffects | None:
    """The effects of a file; None where there is none or it is damaged, for they can be scored again."""
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError):
        return None
    by_site: dict[Site, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        site, field = name.rsplit("/", 1)
        by_site.setdefault(Site.parse(site), {})[field] = tensor
    return {site: _site_effects(by_site[site]) for site in sorted(by_site)}


def _site_effects(stored: Mapping[str, Any]) -> SiteEffects:
    """Numbers that are no tensors were stored as tensors without dimensions."""
    return SiteEffects(**{name: value if value.ndim else value.item() for name, value in stored.items()})


def _key(runs: Runs, rule: Mapping[str, Any]) -> str:
    behaviour = runs.behaviour
    words = {
        "fields": [field.name for field in fields(SiteEffects)],
        "rule": dict(sorted(rule.items())),
        "answers": [behaviour.target.token_ids, behaviour.foil.token_ids],
        "metric": runs.clean_metric,
        "ids": runs.batch.ids.tolist(),
    }
    digest = hashlib.sha256(json.dumps(words).encode())
    for site, dictionary in runs.dictionaries.items():
        name = dictionary.content_hash if isinstance(dictionary, SAE) else type(dictionary).__name__
        digest.update(f"{site} {name} {dictionary.d_sae}".encode())
        for x in (runs.clean[site], runs.baseline.activations[site]):
            digest.update(x.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
