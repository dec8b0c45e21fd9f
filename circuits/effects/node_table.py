"""Features and errors of one site, as an edge's ends."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.runs.active_features import ActiveFeatures
from circuits.runs.dictionaries import decoder_rows_of
from circuits.runs.runs import Runs
from sae.host.sites import Site

__all__ = ["ERROR", "NodeTable", "node_changes"]

ERROR = -1
"""Feature id that stands for the error node of a position."""


@dataclass(frozen=True)
class NodeTable:
    """Nodes of one site, feature and error nodes mixed."""

    position: Int[Tensor, " nodes"]
    feature_id: Int[Tensor, " nodes"]
    """`ERROR` for an error node."""

    @property
    def is_error(self) -> Bool[Tensor, " nodes"]:
        """Which nodes are errors."""
        return self.feature_id == ERROR

    def keys(self, site: Site) -> list[tuple[Site, int, int]]:
        """Each node as (site, position, feature)."""
        return [(site, *pair) for pair in zip(self.position.tolist(), self.feature_id.tolist(), strict=True)]

    def columns(self) -> tuple[Int[Tensor, " chosen"], Int[Tensor, " nodes"]]:
        """The distinct features, sorted, and for each node which of them it is; errors count as feature 0."""
        feature_ids, column = self.feature_id.clamp(min=0).unique(return_inverse=True)
        return feature_ids, column


def node_changes(runs: Runs, site: Site, table: NodeTable) -> Float[Tensor, "references nodes d_model"]:
    """What setting each node to its baseline adds to the stream, for each reference."""
    clean, base = runs.clean_features[site], runs.baseline.features[site]
    feature_ids = table.feature_id.clamp(min=0)
    moved = base.values(table.position, feature_ids) - clean.values(table.position, feature_ids)
    changes = moved[..., None] * decoder_rows_of(runs.dictionaries[site], feature_ids)
    if table.is_error.any():
        at = table.position[table.is_error]
        clean_errors = _errors(runs, site, clean, runs.clean[site][:1], at)
        changes[:, table.is_error] = _errors(runs, site, base, runs.baseline.activations[site], at) - clean_errors
    return changes


def _errors(
    runs: Runs,
    site: Site,
    features: ActiveFeatures,
    x: Float[Tensor, "rows full d_model"],
    position: Int[Tensor, " errors"],
) -> Float[Tensor, "rows errors d_model"]:
    """x - decode(features) at some positions, at the cost of the features that are active there."""
    dictionary, active = runs.dictionaries[site], features.at(position)
    written = active.value[:, None] * decoder_rows_of(dictionary, active.feature_id)
    errors = x[:, position] - dictionary.b_dec
    return errors.index_put((active.row, active.position), -written, accumulate=True)
