"""How far a harvest has come: enough to go on after a kill, saved after each window of documents."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from sae.activations.statistics import Moments
from sae.activations.store.checked_files import read_tensors, write_tensors
from sae.host.sites import Site

__all__ = ["HarvestProgress"]

PROGRESS_FILE = "progress.safetensors"
COUNTS = ("n_windows", "n_texts", "n_held_out_texts", "n_documents", "n_tokens", "special_tokens", "outliers")
SCALARS = (*COUNTS, "texts_digest", "is_done")


@dataclass(frozen=True, eq=False)
class HarvestProgress:
    """The state between two windows.

    Attributes:
        bucket_sizes: Rows in each bucket; the last is the held-out part.
        moments: Of the training tokens so far, by site.
        median_norms: Of the outlier rule, by site; empty before the held-out documents have been run.
        n_windows: Windows done, the held-out documents being the first.
        n_texts: Texts read.
        n_held_out_texts: Of these the ones read for the held-out part, all at the beginning.
        n_documents: Documents run.
        n_tokens: Training tokens kept.
        special_tokens: Tokens dropped for what they are.
        outliers: Tokens dropped for their norm.
        texts_digest: Of the texts read, as `DocumentReader.digest`.
        is_done: Whether there are enough tokens, or no more texts.
    """

    bucket_sizes: Int64[Tensor, " buckets"]
    moments: Mapping[Site, Moments]
    median_norms: Mapping[Site, float]
    n_windows: int = 0
    n_texts: int = 0
    n_held_out_texts: int = 0
    n_documents: int = 0
    n_tokens: int = 0
    special_tokens: int = 0
    outliers: int = 0
    texts_digest: str = ""
    is_done: bool = False

    @classmethod
    def none(cls, n_buckets: int, sites: tuple[Site, ...], d_model: int) -> "HarvestProgress":
        """Before the first window."""
        return cls(torch.zeros(n_buckets, dtype=torch.long), {site: Moments.none(d_model) for site in sites}, {})

    def save(self, folder: Path) -> None:
        """Replace the file in a directory."""
        tensors = {f"mean/{site}": moments.mean for site, moments in self.moments.items()}
        sums = {str(site): [m.n_tokens, m.squared_deviation, m.norm_sum] for site, m in self.moments.items()}
        record = {
            **{name: getattr(self, name) for name in SCALARS},
            "sums": sums,
            "median_norms": {str(site): norm for site, norm in self.median_norms.items()},
        }
        write_tensors(
            folder / PROGRESS_FILE, {"bucket_sizes": self.bucket_sizes, **tensors}, {"progress": json.dumps(record)}
        )

    @classmethod
    def load(cls, folder: Path) -> "HarvestProgress | None":
        """What was saved there, or None where there is nothing whole."""
        try:
            tensors, metadata = read_tensors(folder / PROGRESS_FILE)
        except ValueError:
            return None
        record = json.loads(metadata["progress"])
        moments = {
            Site.parse(site): Moments(n_tokens, tensors[f"mean/{site}"].clone(), squared_deviation, norm_sum)
            for site, (n_tokens, squared_deviation, norm_sum) in record["sums"].items()
        }
        return cls(
            tensors["bucket_sizes"].clone(),
            moments,
            {Site.parse(site): norm for site, norm in record["median_norms"].items()},
            **{name: record[name] for name in SCALARS},
        )
