"""From a dictionary, its host and a corpus to every number of the dictionary, beside the nulls."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sae.annotated_text import AnnotatedText
from sae.dictionary.autoencoder import SAE
from sae.evaluation.answer_change import answer_change
from sae.evaluation.collecting import collect
from sae.evaluation.document_statistics import EvaluationTable
from sae.evaluation.feature_use import feature_use
from sae.evaluation.metrics import METRICS, measure
from sae.evaluation.nulls import NULLS, null_dictionaries
from sae.evaluation.position_classes import CLASSES, EvaluationDocument, read_evaluation_documents
from sae.evaluation.survey import survey
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.measurement import Measurement

__all__ = [
    "DICTIONARY",
    "LONGEST_DOCUMENT",
    "Evaluation",
    "evaluate",
    "evaluate_documents",
    "read_documents",
    "site_of",
]

DICTIONARY = "sae"
ALL = "all"
LONGEST_DOCUMENT = 512
"""Documents are cut to this many tokens, BOS included, or to the host's context where that is shorter."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was found, as sums; every number follows from them.

    Attributes:
        table: The sums, of the dictionary under the name `sae`, of both ablations, and of the other nulls.
        columns: The names to report: the dictionary first, then the nulls that were asked for.
        seed: Of the resampling.
    """

    table: EvaluationTable
    columns: tuple[str, ...]
    seed: int

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The position classes that the documents have."""
        n_tokens = self.table.text.n_tokens.sum(0)
        return tuple(name for name, n in zip(self.table.classes, n_tokens, strict=True) if n > 0)

    def measurement(self, metric: str, *, column: str = DICTIONARY, position_class: str | None = None) -> Measurement:
        """One number with its interval; arguments as in `sae.evaluation.metrics.measure`.

        Raises:
            ValueError: There is no such metric.
        """
        if metric not in METRICS:
            raise ValueError(f"metric {metric!r} is unknown, expected one of {', '.join(METRICS)}")
        return measure(METRICS[metric], self.table, column, position_class=position_class, seed=self.seed)

    def to_json(self, classes: Sequence[str] = CLASSES) -> dict[str, Any]:
        """Every number of every column, of all tokens and of each class that is wanted and there."""
        text = self.table.text
        shown = [name for name in self.classes if name in classes]
        n_by_class = dict(zip(self.table.classes, text.n_tokens.sum(0).long().tolist(), strict=True))
        return {
            "documents": {
                "n_documents": text.n_documents,
                "n_tokens": int(text.n_tokens.sum()),
                "n_tokens_by_class": n_by_class,
                "digest": self.table.digest,
                "median_norm": float(text.norm_quantiles[0]),
                "largest_norm": float(text.norm_quantiles[1]),
            },
            "metrics": {name: metric.meaning for name, metric in METRICS.items()},
            "measurements": {
                name or ALL: {column: self._numbers(column, name) for column in self.columns} for name in (None, *shown)
            },
            "features": {
                column: feature_use(text, self.table.dictionaries[column]).to_json() for column in self.columns
            },
            "answers": {column: self._answers(column) for column in self.columns},
        }

    def _numbers(self, column: str, position_class: str | None) -> dict[str, Any]:
        return {
            name: self.measurement(name, column=column, position_class=position_class).to_json()
            for name, metric in METRICS.items()
            if position_class is None or metric.of_classes
        }

    def _answers(self, column: str) -> dict[str, Any] | None:
        change = answer_change(self.table, column)
        return None if change is None else change.to_json()


def evaluate(
    sae: SAE,
    host: HostModel,
    texts: Iterable[AnnotatedText],
    *,
    n_tokens: int = 100_000,
    nulls: Sequence[str] = NULLS,
    seed: int = 0,
) -> Evaluation:
    """Evaluate a dictionary on held-out texts, which `sae.corpus_knowledge.annotated_texts` reads.

    Args:
        sae: The dictionary; it must know its site.
        host: Its host.
        texts: Documents that neither the dictionary nor, better, the host was trained on; equal ones count once.
        n_tokens: Tokens to evaluate, special ones not counted.
        nulls: Columns beside the dictionary, some of `NULLS`.
        seed: Of the random null and of the resampling.

    Raises:
        ValueError: The dictionary does not know its site or is of another host, no text has a token, or a null is
            unknown.
    """
    return evaluate_documents(sae, host, read_documents(host, texts, n_tokens=n_tokens), nulls=nulls, seed=seed)


def read_documents(host: HostModel, texts: Iterable[AnnotatedText], *, n_tokens: int) -> list[EvaluationDocument]:
    """The documents that `evaluate` evaluates; arguments as there."""
    context_tokens = min(host.context_length, LONGEST_DOCUMENT)
    return read_evaluation_documents(host, texts, n_tokens=n_tokens, context_tokens=context_tokens)


def evaluate_documents(
    sae: SAE, host: HostModel, documents: Sequence[EvaluationDocument], *, nulls: Sequence[str] = NULLS, seed: int = 0
) -> Evaluation:
    """As `evaluate`, on documents that were read before."""
    site = site_of(sae, host)
    sae = sae.to(host.device)
    found = survey(host, sae, site, documents, seed=seed)
    dictionaries = {DICTIONARY: sae, **null_dictionaries(nulls, found, seed=seed)}
    table = collect(host, documents, site, dictionaries, shift=found.mean)
    return Evaluation(table, (DICTIONARY, *(name for name in NULLS if name in nulls)), seed)


def site_of(sae: SAE, host: HostModel) -> Site:
    """Where a dictionary belongs in a host.

    Raises:
        ValueError: It does not say, or the host has no such site or another width.
    """
    if sae.site is None:
        raise ValueError("the SAE does not say its site, expected a hook_name such as blocks.3.hook_resid_post")
    if sae.site not in host.sites:
        raise ValueError(f"model {host.name!r} has no site {sae.site}, its last is {host.sites[-1]}")
    if sae.d_model != host.d_model:
        raise ValueError(
            f"the SAE at {sae.site} has d_model {sae.d_model}, but model {host.name!r} has {host.d_model}; "
            "use the host that it was trained on"
        )
    return sae.site
