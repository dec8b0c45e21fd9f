"""What a minimal circuit must keep: a faithfulness whose lower end lies above a bar."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Float, Int
from torch import Tensor

from circuits.evaluation.kept_share import faithfulness, resampling_weights
from circuits.evaluation.masked_runs import ensemble_metrics
from circuits.evaluation.scale import Scale
from circuits.evaluation.selection import Ranking
from circuits.runs.ensemble import Ensemble
from circuits.runs.node_set import NodeSet
from circuits.verification.without_each import metrics_without_each

__all__ = ["Requirement"]


@dataclass(frozen=True, eq=False)
class Requirement:
    """The bar, and how circuits are held against it.

    Attributes:
        ensemble: The runs.
        scale: m of the empty circuit and of the model.
        wanted: The lower end must lie above this.
    """

    ensemble: Ensemble
    scale: Scale
    wanted: float

    @classmethod
    def of(cls, ensemble: Ensemble, wanted: float, *, seed: int = 0) -> "Requirement":
        """Measure the two ends of the scale.

        Raises:
            ValueError: Model and baseline answer alike, or nearly so against the spread over the units.
        """
        scale = Scale.of(ensemble, ensemble_metrics(ensemble, [NodeSet({})])[0], seed=seed)
        if scale.reason is not None:
            raise ValueError(f"faithfulness is undefined: {scale.reason}; add prompts or choose another contrast")
        return cls(ensemble, scale, wanted)

    @property
    def is_interval(self) -> bool:
        """Whether circuits are held to the lower end of an interval; a single unit has the value only."""
        return self._weights is not None

    def of_nodes(self, circuits: Sequence[NodeSet]) -> Float[Tensor, " circuits"]:
        """The lower end of each circuit's faithfulness, or its value where there is one unit; all in one batch."""
        return self.of_metrics(ensemble_metrics(self.ensemble, circuits))

    def without_each(self, ranking: Ranking, ranks: Int[Tensor, " nodes"]) -> Float[Tensor, " nodes"]:
        """The same of the circuit at `ranks` less one node, for each of its nodes."""
        return self.of_metrics(metrics_without_each(self.ensemble, ranking, ranks))

    def of_metrics(self, metrics: Float[Tensor, "circuits units"]) -> Float[Tensor, " circuits"]:
        """The same, given m of the circuits."""
        empty, clean = self.scale.empty, self.scale.clean
        if self._weights is None:
            return faithfulness(metrics, empty, clean)
        gaps = self._weights @ (clean - empty)
        return (((metrics - empty) @ self._weights.T) / gaps).quantile(0.025, dim=1)

    @cached_property
    def _weights(self) -> Float[Tensor, "draws units"] | None:
        return resampling_weights(len(self.scale.empty), self.scale.groups, seed=self.scale.seed)
