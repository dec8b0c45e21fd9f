"""Fine-tune a dictionary spliced into its host: what the host predicts counts beside what it reconstructs.

Karvonen 2025, arXiv 2503.17272: KL and squared error, scaled to be equally large, for a short while at the end.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

from sae.activations.statistics import SiteStatistics
from sae.activations.token_draw import TokenDraw
from sae.host.host import HostModel
from sae.kernels.loss import StepStatistics, WeightGradients
from sae.kernels.sparse_autograd import reconstruct
from sae.training.config import JumpReLUConfig
from sae.training.document_source import DocumentDraw
from sae.training.jump_relu import JumpReLUTrainer
from sae.training.metrics import StepMetrics
from sae.training.optimisation import WEIGHT_NAMES
from sae.training.sae_trainer import SAETrainer, TrainingGoal

__all__ = ["SplicedConfig", "SplicedTrainer", "spliced_trainer"]

SMALLEST_KL = 1e-8


@dataclass(frozen=True, kw_only=True)
class SplicedConfig(JumpReLUConfig):
    """A JumpReLU dictionary trained in its host.

    Attributes:
        kl_weight: How much the KL divergence counts beside the squared error, both being equally large at 1.
    """

    kl_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.kl_weight >= 0:
            raise ValueError(f"kl_weight is {self.kl_weight}, expected 0 or more")


class SplicedTrainer(JumpReLUTrainer):
    """Adds to the loss KL(host || host with the reconstruction in place), a mean over node positions.

    Args:
        goal: What to train, with a `SplicedConfig`.
        statistics: Of the site's activations.
        host: The model.
        device: Where to train; the host's.
    """

    def __init__(
        self, goal: TrainingGoal, statistics: SiteStatistics, *, host: HostModel, device: torch.device
    ) -> None:
        super().__init__(goal, statistics, device=device)
        assert isinstance(goal.config, SplicedConfig)
        self.kl_weight = goal.config.kl_weight
        self.host = host
        self._kl: float | None = None

    @property
    def updates_at_once(self) -> bool:
        """Never: the KL's gradients are added first."""
        return False

    def gradients(self, x: Float[Tensor, "tokens d_model"], draw: TokenDraw) -> tuple[StepStatistics, WeightGradients]:
        """Of the loss of plain training and of the KL, which is scaled to be as large as the squared error."""
        statistics, gradients = super().gradients(x, draw)
        assert isinstance(draw, DocumentDraw), "the KL needs whole documents"
        kl, of_kl = self._kl_gradients(x, draw)
        self._kl = kl
        factor = self.kl_weight * float(statistics.squared_error) / max(kl, SMALLEST_KL) / self.loss_unit
        for name in WEIGHT_NAMES:
            getattr(gradients, name).add_(getattr(of_kl, name), alpha=factor)
        return replace(statistics, penalty=statistics.penalty + factor * kl), gradients

    def metrics(self) -> StepMetrics:
        """The state after the last step, the KL in nats included."""
        return replace(super().metrics(), kl=self._kl)

    def _kl_gradients(self, x: Float[Tensor, "tokens d_model"], draw: DocumentDraw) -> tuple[float, WeightGradients]:
        """The KL and its gradients to the weights: the host's to the reconstruction, then the dictionary's own."""
        site, batch, statistics = self.goal.site, draw.batch, self.statistics
        with torch.enable_grad():
            x_hat, _ = reconstruct(self.weights, x, self.loss_settings)
        spliced = draw.streams[site].float().clone()
        spliced[batch.node_mask] = x_hat.detach() * statistics.scale + statistics.mean.to(x_hat.device)
        clean = log_softmax(self.host.forward(batch).logits.float(), dim=-1)
        share = batch.node_mask / batch.node_mask.sum()

        def divergence(logits: Float[Tensor, "batch seq vocab"]) -> Float[Tensor, " rows"]:
            each = kl_div(log_softmax(logits.float(), dim=-1), clean, reduction="none", log_target=True).sum(-1)
            return (each * share).sum(-1)

        kl, to_stream = self.host.gradient_at(batch, site, spliced, divergence)
        upstream = to_stream[batch.node_mask] * statistics.scale
        weights = {name: getattr(self.weights, name) for name in WEIGHT_NAMES}
        found = torch.autograd.grad(x_hat, list(weights.values()), upstream, allow_unused=True, materialize_grads=True)
        return float(kl.sum()), WeightGradients(**dict(zip(weights, found, strict=True)))


def spliced_trainer(host: HostModel) -> Callable[[TrainingGoal, SiteStatistics, torch.device], SAETrainer]:
    """What `train` needs to train in a host."""
    return lambda goal, statistics, device: SplicedTrainer(goal, statistics, host=host, device=device)
