"""What a circuit is asked to explain, as the user gives it: one prompt, or a file of pairs."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Int
from torch import Tensor

from circuits.prompts.behaviour import Behaviour, describe_behaviour, wrong_answer
from circuits.prompts.pairs import align_pairs, check_lengths
from circuits.prompts.references import ReferencePool, read_references
from circuits.runs.baselines import Baseline, contrast_baseline, mean_baseline, resample_baseline, zero_baseline
from circuits.runs.ensemble import Ensemble
from circuits.runs.runs import Runs, node_positions
from circuits.workbench import Workbench
from sae.bundle import find_bundle
from sae.host.host import HostModel
from sae.progress import progress
from sae.prompt_pairs import Pair, read_pairs

__all__ = ["Question"]

N_MEAN_REFERENCES = 512
"""Reference prompts whose mean is the mean baseline."""

N_CONTEXT_PROMPTS = 64
"""Prompts that features are shown in, half of them at most those that are asked about."""


@dataclass(frozen=True)
class Question:
    """What is to be explained; see the options of `circuits discover`."""

    prompt: str | None = None
    contrast: str | None = None
    target: str | None = None
    foil: str | None = None
    pairs: Path | None = None
    """A file of pairs instead of a prompt."""
    keep_wrong: bool = False
    """Whether pairs stay in whose answers the model does not give."""
    reference: Path | None = None
    chat: bool = False

    def __post_init__(self) -> None:
        if (self.prompt is None) == (self.pairs is None):
            raise ValueError("prompt and pairs: expected one of them; give --prompt TEXT or --pairs FILE")
        own = ("contrast", "target", "foil")
        if self.pairs is not None and (given := [name for name in own if getattr(self, name) is not None]):
            raise ValueError(f"{', '.join(given)}: the pairs file says these for each pair; leave them out")

    def to_json(self) -> dict[str, Any]:
        """What was asked, for the record of a circuit."""
        given: dict[str, Any] = {
            "contrast": self.contrast,
            "reference": None if self.reference is None else str(self.reference),
            "chat": self.chat,
        }
        if self.pairs is not None:
            digest = hashlib.sha256(self.pairs.read_bytes()).hexdigest()
            given["pairs"] = {"file": str(self.pairs), "sha256": digest, "keep_wrong": self.keep_wrong}
        return given

    def runs(self, bench: Workbench, *, baseline: str | None, seed: int) -> tuple[Ensemble, dict[str, Any]]:
        """Run what is asked about, and its baseline.

        Args:
            bench: The model with its dictionaries.
            baseline: What nodes are set to; by default the contrast where there is one, else resampling.
            seed: Of the choice of references.

        Returns:
            The runs, and what the record of a circuit adds about them.

        Raises:
            ValueError: Something cannot be used; the message says what was expected.
        """
        if self.prompt is not None:
            behaviour = describe_behaviour(
                bench.host, self.prompt, contrast=self.contrast, target=self.target, foil=self.foil, chat=self.chat
            )
            return Ensemble.lone(self.recorded(bench, behaviour, baseline, seed)), {}
        assert self.pairs is not None
        pairs = read_pairs(self.pairs)
        check_lengths(bench.host, pairs)
        kept, excluded = self._answerable(bench.host, pairs)
        behaviours = [behaviour for _, behaviour in kept]
        runs = [self.recorded(bench, behaviour, baseline, seed) for behaviour in progress(behaviours, "running pairs")]
        used = [pair for pair, _ in kept]
        groups = tuple(pair.template or f"line {pair.line}" for pair in used)
        has_templates = any(pair.template is not None for pair in used)
        ensemble = Ensemble(tuple(runs), align_pairs(bench.host, used, behaviours), groups if has_templates else None)
        return ensemble, {"pairs": {"n": len(pairs), "kept": len(kept), "excluded": excluded}}

    def recorded(self, bench: Workbench, behaviour: Behaviour, baseline: str | None, seed: int) -> Runs:
        """Run one behaviour and its baseline; arguments as of `runs`."""
        made = self._baseline(bench, behaviour, baseline, seed)
        return Runs.record(bench.host, behaviour, bench.dictionaries, made)

    def sample(self, bench: Workbench, *, baseline: str | None, seed: int) -> tuple[Runs, int]:
        """The runs of the first prompt, and how many prompts there are; pairs are not tried first."""
        if self.pairs is None:
            ensemble, _ = self.runs(bench, baseline=baseline, seed=seed)
            return ensemble.first, 1
        pairs = read_pairs(self.pairs)
        check_lengths(bench.host, pairs)
        return self.recorded(bench, self._behaviour(bench.host, pairs[0]), baseline, seed), len(pairs)

    def _behaviour(self, host: HostModel, pair: Pair) -> Behaviour:
        return describe_behaviour(
            host,
            pair.clean_prefix,
            contrast=pair.patch_prefix,
            target=pair.clean_answer,
            foil=pair.patch_answer,
            chat=self.chat,
        )

    def _answerable(
        self, host: HostModel, pairs: Sequence[Pair]
    ) -> tuple[list[tuple[Pair, Behaviour]], list[dict[str, Any]]]:
        """Pairs whose two answers the model prefers where they belong, with their behaviours; and the others."""
        kept, excluded = [], []
        for pair in progress(pairs, "reading pairs"):
            behaviour = self._behaviour(host, pair)
            reason = None if self.keep_wrong else wrong_answer(host, behaviour)
            if reason is None:
                kept.append((pair, behaviour))
            else:
                excluded.append({"line": pair.line, "reason": reason})
        if not kept:
            reasons = Counter(entry["reason"] for entry in excluded)
            counted = "; ".join(f"{reason}: {n}" for reason, n in reasons.items())
            raise ValueError(f"no pair of {str(self.pairs)!r} is left ({counted}); add pairs, or --keep-wrong")
        return kept, excluded

    def _baseline(self, bench: Workbench, behaviour: Behaviour, kind: str | None, seed: int) -> Baseline:
        kind = kind or ("contrast" if behaviour.contrast_ids is not None else "resample")
        host, dictionaries = bench.host, bench.dictionaries
        positions = node_positions(host, behaviour)
        if not positions.any():
            raise ValueError(f"prompt {behaviour.prompt!r} has no token besides BOS, expected some text")
        if kind == "zero":
            return zero_baseline(dictionaries, positions)
        if kind == "contrast":
            if behaviour.contrast_ids is None:
                raise ValueError("baseline is 'contrast' but no contrast was given; add --contrast TEXT")
            return contrast_baseline(host, dictionaries, behaviour.contrast_ids, positions)
        pool = self._references(bench)
        if kind == "mean":
            prompts = self._as_turns(host, pool.sample(N_MEAN_REFERENCES, seed=seed))
            return mean_baseline(host, dictionaries, prompts, positions)
        nearest = pool.nearest(host.tokenise(behaviour.prompt), seed=seed)
        return resample_baseline(host, dictionaries, self._as_turns(host, nearest), positions)

    def context_prompts(
        self, bench: Workbench, behaviours: Sequence[Behaviour], *, seed: int
    ) -> list[Int[Tensor, " _"]]:
        """Prompts to show features in: those asked about with their contrasts, and references where there are any.

        Args:
            bench: The model.
            behaviours: What is asked about.
            seed: Of the choice of references.
        """
        both = [ids for each in behaviours for ids in (each.prompt_ids, each.contrast_ids) if ids is not None]
        different = {tuple(ids.tolist()): ids for ids in both}
        asked = list(different.values())[: N_CONTEXT_PROMPTS // 2]
        if self.reference is None and find_bundle(bench.host.name) is None:
            return asked
        drawn = self._references(bench).sample(N_CONTEXT_PROMPTS - len(asked), seed=seed)
        return [*asked, *self._as_turns(bench.host, drawn)]

    def _references(self, bench: Workbench) -> ReferencePool:
        return bench.bundled_references if self.reference is None else read_references(bench.host, self.reference)

    def _as_turns(self, host: HostModel, prompts: Sequence[Int[Tensor, " _"]]) -> Sequence[Int[Tensor, " _"]]:
        """The prompts in the chat template, if it is wanted."""
        if not self.chat:
            return prompts
        return [host.tokenise(host.tokenizer.decode(ids, skip_special_tokens=True), chat=True) for ids in prompts]
