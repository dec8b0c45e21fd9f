"""Sparse probing: how much of a class a handful of features tells, beside all of the activations and beside the words.

1. Features are pooled over the tokens of a document.
2. On training documents the k features whose class means differ most are chosen.
3. Logistic regression on these; its penalty is chosen on validation documents.
4. Scores on test documents, with intervals over them; the same with shuffled labels is the null.

Source: the k-sparse probing of Gurnee et al. 2023 (arXiv 2305.01610), with the choice of features of SAEBench
(Karvonen et al. 2025, arXiv 2503.09532). Differs from it: penalties are chosen on validation documents, not on the
test's.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor

from sae.measurement import Measurement, percentile_interval, resampled_counts
from sae.probing.binary_scores import METRICS, always_yes_f1, binary_scores
from sae.probing.logistic_probe import fit_probe, standardised
from sae.probing.pooled_documents import PooledDocuments
from sae.probing.splits import TEST, TRAIN, VALIDATION
from sae.progress import progress

__all__ = ["KS", "SparseProbing", "TargetScores", "most_different", "probe_documents"]

KS = (1, 2, 5, 20)
DENSE, TFIDF = "dense", "tfidf"
MAX_WORDS = 20_000
Scores = dict[str, dict[str, Measurement]]
"""By method, then by metric."""


@dataclass(frozen=True)
class TargetScores:
    """One target.

    Attributes:
        target: Its name.
        n_positive: Test documents that have it.
        share: The same as a share of the test documents.
        always_yes_f1: F1 of saying yes to all.
        features: The features whose class means differ most, first the most.
        scores: By method and metric.
        shuffled: The same with labels shuffled within each split.
    """

    target: str
    n_positive: int
    share: float
    always_yes_f1: float
    features: tuple[int, ...]
    scores: Scores
    shuffled: Scores


@dataclass(frozen=True)
class SparseProbing:
    """A dictionary's features as probes.

    Attributes:
        n_documents: Of training, validation and test.
        methods: `k=1` and so on, `dense` (all of the pooled activations), `tfidf` (the words).
        mean: Means over targets.
        shuffled: The same with shuffled labels.
        always_yes_f1: Mean over targets of the F1 of saying yes to all.
        targets: One a target.
        left_out: Targets that too few documents have or lack.
    """

    n_documents: tuple[int, int, int]
    methods: tuple[str, ...]
    mean: Scores
    shuffled: Scores
    always_yes_f1: float
    targets: tuple[TargetScores, ...]
    left_out: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class _Representations:
    """What probes read: a matrix by split for each way to represent a document."""

    features: list[np.ndarray]
    dense: list[np.ndarray]
    words: list[sparse.csr_matrix]
    truth: list[np.ndarray]


def probe_documents(documents: PooledDocuments, *, ks: Sequence[int] = KS, seed: int = 0) -> SparseProbing:
    """Probe every target.

    Args:
        documents: Pooled features with targets.
        ks: How many features a sparse probe may read.
        seed: Of the shuffled labels and of the resampled documents.

    Raises:
        ValueError: A k is not from 1 to the number of features.
    """
    d_sae = documents.features.shape[1]
    if not all(1 <= k <= d_sae for k in ks):
        raise ValueError(f"k is {min(ks)} to {max(ks)}, expected from 1 to the {d_sae} features of the SAE")
    read = _representations(documents)
    n_test = len(read.truth[TEST])
    counts = torch.cat([torch.ones(1, n_test, dtype=torch.float64), resampled_counts(n_test, seed=seed)])
    rng = np.random.default_rng(seed)
    real: list[_Draws] = []
    null: list[_Draws] = []
    chosen = []
    for target in progress(range(len(documents.targets)), "probing", unit="target"):
        truth = [part[:, target] for part in read.truth]
        real.append(_probed(read, truth, ks, counts))
        null.append(_probed(read, [rng.permutation(part) for part in truth], ks, counts))
        chosen.append(most_different(read.features[TRAIN], truth[TRAIN], min(max(ks), d_sae)))
    rows = tuple(
        _target(name, read.truth[TEST][:, index], chosen[index], real[index], null[index])
        for index, name in enumerate(documents.targets)
    )
    return SparseProbing(
        n_documents=tuple(len(part) for part in read.truth),  # type: ignore[arg-type]
        methods=tuple(real[0]),
        mean=_mean(real, n_test),
        shuffled=_mean(null, n_test),
        always_yes_f1=float(np.mean([row.always_yes_f1 for row in rows])),
        targets=rows,
        left_out=documents.left_out,
    )


def most_different(x: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """The k columns with the largest |difference of class means|, the largest first."""
    gap = np.abs(x[y].mean(0) - x[~y].mean(0))
    order: np.ndarray = np.argsort(-gap, kind="stable")[:k]
    return order


_Draws = dict[str, dict[str, Float64[Tensor, " draws"]]]


def _representations(documents: PooledDocuments) -> _Representations:
    splits = documents.splits.numpy()
    features, dense, truth = (
        [table.numpy()[splits == split] for split in (TRAIN, VALIDATION, TEST)]
        for table in (documents.features, documents.activations, documents.truth)
    )
    texts = [
        [documents.texts[index] for index in np.flatnonzero(splits == split)] for split in (TRAIN, VALIDATION, TEST)
    ]
    vectoriser = TfidfVectorizer(ngram_range=(1, 2), max_features=MAX_WORDS, sublinear_tf=True).fit(texts[TRAIN])
    to_units = standardised(dense[TRAIN])
    return _Representations(
        features, [to_units(part) for part in dense], [vectoriser.transform(part) for part in texts], truth
    )


def _probed(
    read: _Representations, truth: list[np.ndarray], ks: Sequence[int], counts: Float64[Tensor, "draws documents"]
) -> _Draws:
    """Scores of every method, for labels that may have been shuffled."""
    ranked = most_different(read.features[TRAIN], truth[TRAIN], max(ks))
    inputs: dict[str, list[Any]] = {}
    for k in ks:
        own = [part[:, ranked[:k]] for part in read.features]
        to_units = standardised(own[TRAIN])
        inputs[f"k={k}"] = [to_units(part) for part in own]
    inputs[DENSE], inputs[TFIDF] = read.dense, read.words
    is_test = torch.from_numpy(truth[TEST])
    found = {}
    for method, x in inputs.items():
        probe = fit_probe(x[TRAIN], truth[TRAIN], x[VALIDATION], truth[VALIDATION])
        found[method] = binary_scores(torch.from_numpy(probe.scores(x[TEST])).double(), is_test, counts)
    return found


def _target(name: str, truth: np.ndarray, features: np.ndarray, real: _Draws, null: _Draws) -> TargetScores:
    share = float(truth.mean())
    return TargetScores(
        target=name,
        n_positive=int(truth.sum()),
        share=share,
        always_yes_f1=always_yes_f1(share),
        features=tuple(int(feature) for feature in features),
        scores=_measured(real, len(truth)),
        shuffled=_measured(null, len(truth)),
    )


def _measured(draws: _Draws, n: int) -> Scores:
    return _each(draws, lambda method, metric: _measurement(draws[method][metric], n))


def _mean(targets: list[_Draws], n: int) -> Scores:
    """Means over targets, draw by draw, of those targets that a draw has documents of."""
    return _each(
        targets[0],
        lambda method, metric: _measurement(torch.stack([each[method][metric] for each in targets]).nanmean(0), n),
    )


def _each(draws: _Draws, measure: Callable[[str, str], Measurement]) -> Scores:
    return {method: {metric: measure(method, metric) for metric in METRICS} for method in draws}


def _measurement(draws: Float64[Tensor, " draws"], n: int) -> Measurement:
    """The first draw is the value, the others make its interval."""
    low, high = percentile_interval(draws[1:])
    return Measurement(float(draws[0]), low, high, n, higher_is_better=True)
