"""What is timed on a GPU: the implementations of every operation by name, each made ready to be called many times."""

from collections.abc import Callable

import torch

from experiments.benchmarks.decode_peers import DECODERS, decode_inputs, embedding_bag_alone
from experiments.benchmarks.step_cases import Case, Operation, dictionary_with_l0, loss_of
from sae.activations.statistics import SiteStatistics
from sae.activations.token_draw import TokenDraw
from sae.host.sites import Site
from sae.kernels.dispatch import loss_and_gradients, loss_and_update, support_density
from sae.kernels.shadows import BFloat16Shadows
from sae.training.config import JumpReLUConfig
from sae.training.jump_relu import JumpReLUTrainer
from sae.training.normalisation import fold
from sae.training.sae_trainer import TrainingGoal

__all__ = ["IMPLEMENTATIONS", "Prepare"]

Prepare = Callable[[Case, torch.device], Callable[[], object]]

RATE = 1e-6
"""So small that a timed dictionary keeps its L0."""
SITE = Site("resid_post", 0)


def _our_gradients(kernel: str) -> Prepare:
    def prepare(case: Case, device: torch.device) -> Callable[[], object]:
        loss = loss_of(case)
        weights, x = dictionary_with_l0(case, device=device)
        shadows = BFloat16Shadows.of(weights, loss.bandwidth)
        density = support_density(weights, x, loss)
        return lambda: loss_and_gradients(weights, x, loss, kernel=kernel, last_density=density, shadows=shadows)

    return prepare


def _fused_step(case: Case, device: torch.device) -> Callable[[], object]:
    loss = loss_of(case)
    weights, x = dictionary_with_l0(case, device=device)
    shadows = BFloat16Shadows.of(weights, loss.bandwidth)
    density = support_density(weights, x, loss)
    parameters = [weights.encoder_rows, weights.b_enc, weights.decoder_rows, weights.b_dec, weights.threshold]
    optimiser = torch.optim.Adam(parameters, lr=RATE, fused=True)
    return lambda: loss_and_update(weights, x, loss, optimiser, kernel="triton", last_density=density, shadows=shadows)


def _trainer_step(case: Case, device: torch.device) -> Callable[[], object]:
    """As `sae train` does it, controller and bookkeeping included."""
    loss = loss_of(case)
    weights, x = dictionary_with_l0(case, device=device)
    statistics = SiteStatistics(torch.zeros(case.d_model), 1.0, float(x.norm(dim=1).mean()), float(case.d_model))
    config = JumpReLUConfig(
        d_sae=case.d_sae,
        l0=case.l0,
        objective="quadratic",
        batch_tokens=case.n_tokens,
        learning_rate=RATE,
        threshold_learning_rate=RATE,
        bandwidth=loss.bandwidth,
        anneal_share=0.0,
    )
    goal = TrainingGoal("benchmark", SITE, config, start=fold(weights, statistics, site=SITE))
    trainer, draw = JumpReLUTrainer(goal, statistics, device=device), TokenDraw({SITE: x})
    return lambda: trainer.step(draw)


def _compiled(with_adam: bool) -> Prepare:
    def prepare(case: Case, device: torch.device) -> Callable[[], object]:
        from experiments.benchmarks.peers import DenseStep

        weights, x = dictionary_with_l0(case, device=device)
        dense = DenseStep(weights, loss_of(case))
        # what was compiled for other sizes would make this one general in its shapes
        torch.compiler.reset()
        compiled = torch.compile(dense, fullgraph=True, dynamic=False)
        optimiser = torch.optim.Adam(dense.parameters(), lr=RATE, fused=True)

        def step() -> None:
            optimiser.zero_grad()
            with torch.autocast(device.type, torch.bfloat16):
                loss = compiled(x)
            loss.backward()
            if with_adam:
                optimiser.step()

        return step

    return prepare


def _sae_lens(with_adam: bool, autocast: bool) -> Prepare:
    def prepare(case: Case, device: torch.device) -> Callable[[], object]:
        from experiments.benchmarks.peers import SaeLensRecipe, SaeLensStep

        weights, x = dictionary_with_l0(case, device=device)
        recipe = SaeLensRecipe(
            l0=case.l0,
            batch_tokens=case.n_tokens,
            learning_rate=RATE,
            bandwidth=loss_of(case).bandwidth,
            autocast=autocast,
        )
        peer = SaeLensStep(weights, recipe)
        return lambda: peer.step(x) if with_adam else peer.gradients(x)

    return prepare


def _decoder(name: str) -> Prepare:
    def prepare(case: Case, device: torch.device) -> Callable[[], object]:
        inputs = decode_inputs(case, device=device)
        return lambda: DECODERS[name](inputs)

    return prepare


def _decode_alone(case: Case, device: torch.device) -> Callable[[], object]:
    inputs = decode_inputs(case, device=device)
    return lambda: embedding_bag_alone(inputs)


IMPLEMENTATIONS: dict[Operation, dict[str, Prepare]] = {
    "step": {
        "triton": _fused_step,
        "torch.compile, bf16": _compiled(with_adam=True),
        "sae-lens, bf16 autocast": _sae_lens(with_adam=True, autocast=True),
        "sae-lens": _sae_lens(with_adam=True, autocast=False),
        "sae train": _trainer_step,
    },
    "gradients": {
        "triton": _our_gradients("triton"),
        "torch.compile, bf16": _compiled(with_adam=False),
        "sae-lens, bf16 autocast": _sae_lens(with_adam=False, autocast=True),
        "sae-lens": _sae_lens(with_adam=False, autocast=False),
        "sparse": _our_gradients("sparse"),
        "dense": _our_gradients("dense"),
    },
    "decode": {**{name: _decoder(name) for name in DECODERS}, "embedding_bag, x_hat alone": _decode_alone},
}
