"""What a run costs: operations, hours, memory and disk, with the arithmetic, for profiles that give their host's shape.

1. Count the floating-point operations of each stage from the sizes alone.
2. Divide by the rate of a machine, which is assumed and said.
3. Add up what lies in memory and on disk at once.

What is measured of features afterwards (explanations, probes) is not counted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from experiments.domain_vs_broad.arms import ARMS, TRAINED_NULLS
from experiments.domain_vs_broad.cell_evaluation import TEXTS
from experiments.domain_vs_broad.host_shape import HostShape
from experiments.domain_vs_broad.matrix import Cell
from experiments.domain_vs_broad.profiles.profile import Profile
from experiments.domain_vs_broad.texts import CALIBRATION_SHARE
from sae.host.sites import Site

__all__ = ["MACHINES", "Machine", "StageCost", "cost_text", "stage_costs"]

ABLATIONS = 2
"""Evaluated beside the dictionaries of every cell: zero and mean."""
DENSE_PRODUCTS = 6
"""Encoder and decoder, each forward and both ways backward; the sparse paths do fewer."""
HALF, SINGLE = 2, 4
"""Bytes of a number."""
TRAINED_HOST_BYTES = 16
"""Of a host's weight in training: itself, its gradient and two moments in float32."""
TRAINED_BYTES = 18
"""The same of a dictionary's, with a copy in bfloat16."""


@dataclass(frozen=True)
class Machine:
    """A rate that is assumed, not measured here.

    Attributes:
        name: For people.
        host: Operations a second of a host's passes in bfloat16.
        dictionaries: The same of dictionary training.
    """

    name: str
    host: float
    dictionaries: float


MACHINES = (
    Machine("one accelerator of 990 TFLOP/s (H100, H200), 40 % used by the host and 30 % by training", 396e12, 297e12),
    Machine("one processor core with bfloat16 products, 200 and 40 GFLOP/s", 0.2e12, 0.04e12),
)


@dataclass(frozen=True)
class StageCost:
    """What one stage computes.

    Attributes:
        name: For people.
        arithmetic: How the operations were counted.
        operations: Floating-point operations.
        of_dictionaries: Whether dictionaries are trained, rather than a host run.
    """

    name: str
    arithmetic: str
    operations: int
    of_dictionaries: bool = False

    def hours(self, machine: Machine) -> float:
        """At the machine's rate."""
        return self.operations / (machine.dictionaries if self.of_dictionaries else machine.host) / 3600


def stage_costs(profile: Profile, missing: Sequence[Cell], *, adapted: bool = True) -> Iterator[StageCost]:
    """The stages of a run that has these cells to do.

    Args:
        profile: With its host's shape.
        missing: Cells to do.
        adapted: Whether the host is still to be adapted.
    """
    shape = _shape_of(profile)
    if adapted and profile.adaptation is not None:
        yield _adaptation(profile, shape)
    hosts = len({cell.host for cell in missing})
    yield _harvest(profile, shape, hosts)
    yield _training(profile, shape, missing, hosts * len(set(TRAINED_NULLS) & set(profile.nulls)))
    yield _evaluation(profile, shape, len(missing) + hosts * len(profile.nulls))


def _adaptation(profile: Profile, shape: HostShape) -> StageCost:
    assert profile.adaptation is not None
    settings = profile.adaptation
    forward = shape.n_layers * shape.layer_operations(settings.context_length) + shape.unembedding_operations
    passes, why = (2, "forward and to the activations") if settings.lora_rank else (3, "forward and backward")
    return StageCost(
        "adaptation",
        f"{settings.n_tokens:,} tokens x {passes} ({why}) x {forward / 1e9:.3g} GFLOP (2 x "
        f"{shape.parameters / 1e9:.3g} G parameters, attention to {settings.context_length})",
        settings.n_tokens * passes * forward,
    )


def _harvest(profile: Profile, shape: HostShape, hosts: int) -> StageCost:
    layers = _layers_to(profile)
    tokens = round(hosts * len(TEXTS) * profile.harvested * (1 + CALIBRATION_SHARE))
    a_token = layers * shape.layer_operations(profile.context)
    return StageCost(
        "harvest",
        f"{hosts} hosts x {len(TEXTS)} texts x {profile.harvested:,} tokens x {1 + CALIBRATION_SHARE:g} (calibration) "
        f"x {a_token / 1e9:.3g} GFLOP ({layers} of {shape.n_layers} layers)",
        tokens * a_token,
    )


def _training(profile: Profile, shape: HostShape, missing: Sequence[Cell], nulls: int) -> StageCost:
    """Nulls that are trained take what a cell takes."""
    tokens = round((sum(cell.arm.tokens for cell in missing) + nulls) * profile.n_tokens * len(profile.l0))
    a_token = DENSE_PRODUCTS * 2 * shape.d_model * profile.d_sae
    return StageCost(
        "dictionaries",
        f"{tokens:,} dictionary tokens, {nulls} nulls among them, x {a_token / 1e9:.3g} GFLOP "
        f"({DENSE_PRODUCTS} products x 2 x {shape.d_model} x {profile.d_sae}; at most, sparse paths need less)",
        tokens * a_token,
        of_dictionaries=True,
    )


def _evaluation(profile: Profile, shape: HostShape, n_cells: int) -> StageCost:
    runs = len(profile.l0) + ABLATIONS
    layer = shape.layer_operations(profile.context)
    plain = shape.n_layers * layer + shape.unembedding_operations
    spliced = (shape.n_layers - _layers_to(profile)) * layer + shape.unembedding_operations
    tokens = n_cells * len(TEXTS) * profile.evaluated
    return StageCost(
        "evaluation",
        f"{n_cells} cells and nulls x {len(TEXTS)} texts x {profile.evaluated:,} tokens x ({plain / 1e9:.3g} + {runs} "
        f"x {spliced / 1e9:.3g}) GFLOP (once plainly, then from the site on with {len(profile.l0)} dictionaries and "
        f"{ABLATIONS} ablations)",
        tokens * (plain + runs * spliced),
    )


def cost_text(profile: Profile, missing: Sequence[Cell], *, adapted: bool = True) -> str:
    """The plan for people: operations and hours of each stage, memory and disk."""
    stages = list(stage_costs(profile, missing, adapted=adapted))
    lines = [f"{stage.name}: {stage.arithmetic} = {stage.operations:.2g} FLOP" for stage in stages]
    for machine in MACHINES:
        hours = [stage.hours(machine) for stage in stages]
        each = " + ".join(f"{hour:.2g}" for hour in hours)
        lines.append(f"hours on {machine.name} (rates assumed): {each} = {sum(hours):.2g}")
    if adapted:
        lines.extend(_memory_of_adaptation(profile))
    return "\n".join((*lines, *_memory(profile), _disk(profile)))


def _memory_of_adaptation(profile: Profile) -> Iterator[str]:
    if (settings := profile.adaptation) is None:
        return
    shape = _shape_of(profile)
    frozen, trained = 0, shape.parameters
    if settings.lora_rank is not None:
        frozen = (HALF if settings.precision == "bfloat16" else SINGLE) * shape.parameters
        trained = shape.low_rank_parameters(settings.lora_rank)
    yield (
        f"memory of the adaptation: {frozen / 1e9:.3g} GB of frozen weights + {trained / 1e6:,.0f} M trained x "
        f"{TRAINED_HOST_BYTES} bytes = {(frozen + TRAINED_HOST_BYTES * trained) / 1e9:.3g} GB, and the passes"
    )


def _memory(profile: Profile) -> Iterator[str]:
    shape = _shape_of(profile)
    host = (HALF if profile.dtype == "bfloat16" else SINGLE) * shape.parameters
    trained = len(profile.l0) * 2 * shape.d_model * profile.d_sae * TRAINED_BYTES
    yield (
        f"memory where the host runs: {host / 1e9:.3g} GB of weights + {len(profile.l0)} dictionaries x 2 x "
        f"{shape.d_model} x {profile.d_sae} x {TRAINED_BYTES} bytes = {(host + trained) / 1e9:.3g} GB, and the passes"
    )
    rows = profile.harvested * (1 + CALIBRATION_SHARE) * shape.d_model * HALF
    mixes = any(len(stage.texts) > 1 for name in profile.arms for stage in ARMS[name].stages)
    count = len(TEXTS) + mixes
    yield (
        f"memory of the processor: {count} x {profile.harvested:,} x {1 + CALIBRATION_SHARE:g} rows x {shape.d_model} "
        f"x {HALF} bytes (both texts{', and their mixture' if mixes else ''}) = {count * rows / 1e9:.3g} GB"
    )


def _disk(profile: Profile) -> str:
    shape = _shape_of(profile)
    host = HALF * shape.parameters
    n_dictionaries = len(profile.arms) * len(profile.seeds) * len(profile.hosts) * len(profile.l0)
    dictionaries = n_dictionaries * 2 * shape.d_model * profile.d_sae * SINGLE
    return (
        f"disk: {len(profile.hosts)} hosts x {host / 1e9:.3g} GB + {n_dictionaries} dictionaries x 2 x {shape.d_model} "
        f"x {profile.d_sae} x {SINGLE} bytes = {(len(profile.hosts) * host + dictionaries) / 1e9:.3g} GB"
    )


def _layers_to(profile: Profile) -> int:
    """Layers that run until the site is known."""
    layer = Site.parse(profile.site).layer
    return 0 if layer is None else layer + 1


def _shape_of(profile: Profile) -> HostShape:
    assert profile.shape is not None
    return profile.shape
