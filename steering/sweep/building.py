"""The methods of a sweep, each with its strengths: the edit first, then what it is compared with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from steering.baseline_directions import probe_direction, random_feature
from steering.directions import Feature, Target, difference_of_means, random_direction
from steering.interventions import Intervention
from steering.steered_host import SteeredHost
from steering.sweep.hint import HintMethod
from steering.sweep.logit_bias import LogitBias
from steering.sweep.methods import DirectionMethod, Method
from steering.sweep.prompts import Examples

__all__ = ["BASELINES", "NULLS", "Baseline", "SweptMethod", "swept_methods"]

HINTS = (0.0, 1.0, 2.0, 3.0)
BIASES = (0.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0)
"""In nats; the last leaves nothing else."""
NULLS = ("random direction", "random feature")
FURTHER = (2.0, 4.0)
"""How much longer than the edit at its largest a null gets too: random directions do less harm by length."""


@dataclass(frozen=True, eq=False)
class SweptMethod:
    """A method and its strengths, from none upwards."""

    method: Method
    strengths: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Baseline:
    """What baselines are made from.

    Attributes:
        steered: The model.
        edit: That they are compared with.
        lengths: Its strengths, in units of the stream's median length.
        target_id: The target's token.
        hint: The sentence of the method `prompt`.
        examples: Activations at the edit's site, where the target is the answer and where it is not.
        seed: Of what is random.
    """

    steered: SteeredHost
    edit: Intervention
    lengths: tuple[float, ...]
    target_id: int
    hint: str
    examples: Callable[[], Examples]
    seed: int


def swept_methods(baseline: Baseline, strengths: Sequence[float], names: Sequence[str]) -> list[SweptMethod]:
    """The edit at its strengths, and each named baseline at its own.

    Raises:
        ValueError: A name is unknown, or a baseline cannot be made.
    """
    if unknown := [name for name in names if name not in BASELINES]:
        raise ValueError(f"unknown method {unknown[0]!r}, expected one of {', '.join(BASELINES)}")
    edited = "feature" if isinstance(baseline.edit.target, Feature) else "direction"
    first = SweptMethod(DirectionMethod(edited, baseline.steered, baseline.edit), tuple(strengths))
    return [first, *(BASELINES[name](baseline) for name in dict.fromkeys(names))]


def _along(name: str, baseline: Baseline, target: Target) -> SweptMethod:
    """Adding another direction, as long as the edit's and at the same tokens."""
    edit = replace(baseline.edit, target=target, operation="add", unit="resid", value=0.0)
    further = [factor * baseline.lengths[-1] for factor in FURTHER if name in NULLS]
    return SweptMethod(DirectionMethod(name, baseline.steered, edit), (*baseline.lengths, *further))


def _difference_of_means(baseline: Baseline) -> SweptMethod:
    examples, name = baseline.examples(), "difference of means"
    if min(len(examples.positive), len(examples.negative)) == 0:
        raise ValueError(
            f"{name} needs prompts that the model answers with the target and others, got {len(examples.positive)} and "
            f"{len(examples.negative)}; give others with --examples FILE or leave it out of --methods"
        )
    site = baseline.edit.target.site
    return _along(name, baseline, difference_of_means(site, name, examples.positive, examples.negative))


def _probe(baseline: Baseline) -> SweptMethod:
    examples = baseline.examples()
    site = baseline.edit.target.site
    return _along(
        "probe", baseline, probe_direction(site, "probe", examples.positive, examples.negative, seed=baseline.seed)
    )


def _random_direction(baseline: Baseline) -> SweptMethod:
    site, d_model = baseline.edit.target.site, baseline.steered.host.d_model
    return _along("random direction", baseline, random_direction(site, d_model, seed=baseline.seed))


def _random_feature(baseline: Baseline) -> SweptMethod:
    target = baseline.edit.target
    known = baseline.steered.dictionaries.references(target.site)
    if not isinstance(target, Feature) or isinstance(known, str) or known.densities is None:
        raise ValueError(
            f"there is no random feature of the density of {target.name}, since it has none; leave "
            "'random feature' out of --methods"
        )
    drawn = random_feature(known.densities, target.index, seed=baseline.seed)
    return _along("random feature", baseline, Feature(target.site, drawn))


def _prompt(baseline: Baseline) -> SweptMethod:
    return SweptMethod(HintMethod(baseline.steered, baseline.hint), HINTS)


def _logit_bias(baseline: Baseline) -> SweptMethod:
    host, positions = baseline.steered.host, baseline.edit.positions
    return SweptMethod(LogitBias(host, baseline.target_id, positions), BIASES)


BASELINES: Mapping[str, Callable[[Baseline], SweptMethod]] = {
    "difference of means": _difference_of_means,
    "probe": _probe,
    "prompt": _prompt,
    "logit bias": _logit_bias,
    "random direction": _random_direction,
    "random feature": _random_feature,
}
