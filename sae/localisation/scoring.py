r"""How well chosen features point at their concepts, on documents that had no part in the choice.

Of one feature with activations a_t and one concept whose mentions cover the gold tokens G:

1. pointing: over documents with G not empty, the share of the largest a_t that lie in G; where several tokens share the
   largest one each counts in part, and a document on which the feature is silent is a miss;
2. precision, recall, F1 = 2 |A & G| / (|A| + |G|) and IoU = |A & G| / |A | G| with A = {t : a_t > 0};
3. AUPRC: the average precision of a_t as a score for G, sum of (R_n - R_(n-1)) P_n over the distinct values of a,
   silent tokens last and together.

Every number is a sum over documents, and so can be had for any resample of them.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from sae.dictionary.feature_acts import FeatureActs
from sae.localisation.detectors import Columns

__all__ = ["METRICS", "DocumentTables", "average_precision", "document_tables", "scores"]

METRICS = ("pointing", "precision", "recall", "f1", "iou", "auprc")
CHUNK_NUMBERS = 10_000_000


@dataclass(frozen=True, eq=False)
class Ranking:
    """The tokens on which one feature is active, the largest activation first."""

    documents: Int64[Tensor, " active"]
    is_gold: Bool[Tensor, " active"]
    ends_tie: Bool[Tensor, " active"]
    """Whether the next activation is smaller, or there is none."""


@dataclass(frozen=True, eq=False)
class DocumentTables:
    """What every metric is a sum of: one row a document of split B, one column a concept with its chosen feature.

    Attributes:
        hits: Share of the feature's largest activations that lie in a mention.
        chance: Share of the document's tokens that do: what pointing at random hits.
        has_gold: 1 where the concept is told.
        true_positives: Tokens that fire and are gold.
        fired: Tokens that fire.
        gold: Gold tokens.
        n_tokens: Tokens of the document.
        rankings: One a concept.
    """

    hits: Float64[Tensor, "documents concepts"]
    chance: Float64[Tensor, "documents concepts"]
    has_gold: Float64[Tensor, "documents concepts"]
    true_positives: Float64[Tensor, "documents concepts"]
    fired: Float64[Tensor, "documents concepts"]
    gold: Float64[Tensor, "documents concepts"]
    n_tokens: Float64[Tensor, " documents"]
    rankings: tuple[Ranking, ...]


def document_tables(
    feature_acts: FeatureActs,
    gold: Bool[Tensor, "tokens concepts"],
    feature_ids: Int64[Tensor, " concepts"],
    documents: Int64[Tensor, " tokens"],
    in_split: Bool[Tensor, " documents"],
) -> DocumentTables:
    """Count, document by document.

    Args:
        feature_acts: Of all tokens.
        gold: Tokens in a mention of each concept.
        feature_ids: The feature of each concept.
        documents: The document of each token.
        in_split: Documents to count; the rows are these, in order.
    """
    row = in_split.cumsum(0) - 1
    among = in_split[documents]
    n_rows = int(in_split.sum())
    columns = Columns.of(feature_acts, among)
    n_tokens = torch.bincount(row[documents[among]], minlength=n_rows).double()
    n_gold = torch.zeros(n_rows, gold.shape[1], dtype=torch.float64)
    n_gold.index_add_(0, row[documents[among]], gold[among].double())
    counted = [
        _count(columns, int(feature), gold[:, concept], row[documents], n_rows)
        for concept, feature in enumerate(feature_ids)
    ]
    hits, true_positives, fired, rankings = zip(*counted, strict=True)
    has_gold = (n_gold > 0).double()
    return DocumentTables(
        hits=torch.stack(hits, 1) * has_gold,
        chance=n_gold / n_tokens[:, None].clamp(min=1),
        has_gold=has_gold,
        true_positives=torch.stack(true_positives, 1),
        fired=torch.stack(fired, 1),
        gold=n_gold,
        n_tokens=n_tokens,
        rankings=rankings,
    )


def scores(
    tables: DocumentTables, counts: Float64[Tensor, "draws documents"]
) -> dict[str, Float64[Tensor, "draws concepts"]]:
    """Every metric of every concept, with each document counted as often as `counts` says; NaN where undefined.

    Besides `METRICS` there are the chance levels `pointing_chance` and `auprc_chance`, the share of gold tokens.
    """
    summed = {
        name: counts @ getattr(tables, name)
        for name in ("hits", "chance", "has_gold", "true_positives", "fired", "gold")
    }
    both, fired, gold = summed["true_positives"], summed["fired"], summed["gold"]
    found = {
        "pointing": summed["hits"] / summed["has_gold"],
        "pointing_chance": summed["chance"] / summed["has_gold"],
        # a feature that never fires asserts nothing, and is given no credit for it
        "precision": torch.where(fired > 0, both / fired.clamp(min=1), 0.0),
        "recall": both / gold,
        "f1": 2 * both / (fired + gold),
        "iou": both / (fired + gold - both),
        "auprc": average_precision(tables, counts),
        "auprc_chance": gold / (counts @ tables.n_tokens)[:, None],
    }
    return {name: torch.where(gold > 0, value, torch.nan) for name, value in found.items()}


def average_precision(
    tables: DocumentTables, counts: Float64[Tensor, "draws documents"]
) -> Float64[Tensor, "draws concepts"]:
    """Average precision of each concept's ranking, NaN where nothing is gold."""
    n_gold, n_tokens = counts @ tables.gold, counts @ tables.n_tokens
    found = torch.zeros_like(n_gold)
    for concept, ranking in enumerate(tables.rankings):
        rows = max(1, CHUNK_NUMBERS // max(1, len(ranking.documents)))
        for start in range(0, len(counts), rows):
            part = slice(start, start + rows)
            found[part, concept] = _average_precision(ranking, counts[part], n_gold[part, concept], n_tokens[part])
    return found


def _average_precision(
    ranking: Ranking,
    counts: Float64[Tensor, "draws documents"],
    n_gold: Float64[Tensor, " draws"],
    n_tokens: Float64[Tensor, " draws"],
) -> Float64[Tensor, " draws"]:
    weights = counts[:, ranking.documents]
    seen = weights.cumsum(1)[:, ranking.ends_tie]
    hit = (weights * ranking.is_gold).cumsum(1)[:, ranking.ends_tie]
    seen, hit = torch.cat([seen, n_tokens[:, None]], 1), torch.cat([hit, n_gold[:, None]], 1)
    gained = hit.diff(dim=1, prepend=torch.zeros(len(hit), 1, dtype=hit.dtype))
    return (gained * hit / seen.clamp(min=1)).sum(1) / n_gold


def _count(
    columns: Columns,
    feature: int,
    is_gold: Bool[Tensor, " tokens"],
    row: Int64[Tensor, " tokens"],
    n_rows: int,
) -> tuple[Float64[Tensor, " documents"], Float64[Tensor, " documents"], Float64[Tensor, " documents"], Ranking]:
    """Hits, true positives, fired tokens of each document, and the ranking, of one feature for one concept."""
    tokens, values = columns.feature(feature)
    rows, hit = row[tokens], is_gold[tokens]
    largest = torch.zeros(n_rows).scatter_reduce_(0, rows, values, "amax")
    is_largest = values == largest[rows]
    n_largest = torch.bincount(rows[is_largest], minlength=n_rows)
    n_hits = torch.bincount(rows[is_largest & hit], minlength=n_rows)
    return (
        n_hits.double() / n_largest.clamp(min=1),
        torch.bincount(rows[hit], minlength=n_rows).double(),
        torch.bincount(rows, minlength=n_rows).double(),
        _ranking(values, rows, hit),
    )


def _ranking(
    values: Float[Tensor, " active"], rows: Int64[Tensor, " active"], is_gold: Bool[Tensor, " active"]
) -> Ranking:
    ordered, order = values.sort(descending=True, stable=True)
    ends_tie = torch.ones(len(ordered), dtype=torch.bool)
    ends_tie[:-1] = ordered[:-1] != ordered[1:]
    return Ranking(rows[order], is_gold[order], ends_tie)
