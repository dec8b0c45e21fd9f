"""All variations by name: what a circuit should not depend on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from circuits.evaluation.kept_share import resampling_weights
from circuits.variation.case import Repeats, VariationCase
from sae.host.host import HostModel
from sae.progress import progress

__all__ = ["VARIATIONS", "Variation", "chosen_variations"]

IG_STEPS = (3, 5, 10, 20)
N_SEEDS = 4
OTHER_DTYPE = {"float32": "bfloat16", "bfloat16": "float32", "float16": "float32"}
DRAWN_BASELINES = ("resample", "mean")


@dataclass(frozen=True)
class Variation:
    """One thing that is varied.

    Attributes:
        repeat: Chooses the nodes again and again.
        meaning: What is varied, in a line.
    """

    repeat: Callable[[VariationCase], Repeats]
    meaning: str


def bootstrap(case: VariationCase) -> Repeats:
    """Units drawn with replacement; prompts of one template together. No pass for prompts, which are scored already."""
    weights = resampling_weights(case.n_units, case.ensemble.groups, n_draws=case.draws, seed=case.seed)
    if weights is None:
        single = "template" if case.n_units > 1 else case.ensemble.unit_name.removesuffix("s")
        return Repeats(reason=f"a single {single} cannot be resampled")
    return Repeats(tuple(case.units.strongest(each, case.n_nodes) for each in weights))


def ig_steps(case: VariationCase) -> Repeats:
    """The path with fewer and with more points."""
    if case.rule != "integrated_gradients":
        return Repeats(reason=f"the rule {case.rule} walks no path")
    if (n := case.ensemble.first.baseline.n_references) > 1:
        return Repeats(reason=f"the path's points are its {n} references, one each, however many steps")
    others = [steps for steps in IG_STEPS if steps != case.options.get("ig_steps", 5)]
    kept = tuple(case.kept_again(case.ensemble, ig_steps=steps) for steps in others)
    return Repeats(kept, tuple(f"{steps} steps" for steps in others))


def dtype(case: VariationCase) -> Repeats:
    """The host in another precision; gradients and contractions stay in float32."""
    bench = case.opened.bench
    host = bench.host
    if host.path is None:
        return Repeats(reason="the model is in memory only and cannot be loaded in another precision")
    other = OTHER_DTYPE[str(host.dtype).removeprefix("torch.")]
    varied = HostModel.load(host.name, dtype=other, device=str(host.device))
    ensemble = case.run_again(replace(bench, host=varied), case.opened.circuit.provenance["seed"])
    return Repeats((case.kept_again(ensemble),), (other,))


def seed(case: VariationCase) -> Repeats:
    """Other references from the same pool."""
    baseline = case.opened.circuit.baseline
    if baseline not in DRAWN_BASELINES:
        return Repeats(reason=f"nothing of the {baseline} baseline is drawn at random")
    own = case.opened.circuit.provenance["seed"]
    others = [own + offset for offset in range(1, N_SEEDS + 1)]
    kept = [case.kept_again(case.run_again(case.opened.bench, other)) for other in progress(others, "seeds")]
    return Repeats(tuple(kept), tuple(f"seed {other}" for other in others))


def template(case: VariationCase) -> Repeats:
    """The prompts of each template by themselves: the same question in other words."""
    groups = case.ensemble.groups
    names = list(dict.fromkeys(groups or ()))
    if len(names) < 2:
        return Repeats(reason="the prompts have no templates" if not names else "all prompts have one template")
    weights = torch.tensor([[float(group == name) for group in groups or ()] for name in names])
    weights /= weights.sum(dim=1, keepdim=True)
    return Repeats(tuple(case.units.strongest(each, case.n_nodes) for each in weights), tuple(names))


VARIATIONS = {
    "bootstrap": Variation(bootstrap, "prompts, or references of a lone prompt, drawn with replacement"),
    "ig_steps": Variation(ig_steps, "points of the integrated-gradients path"),
    "dtype": Variation(dtype, "precision of the model"),
    "seed": Variation(seed, "which references are drawn"),
    "template": Variation(template, "prompts of one template alone"),
}
"""In the order in which they are printed."""


def chosen_variations(names: str | Sequence[str]) -> list[str]:
    """Names of variations from `all`, a comma list or a sequence.

    Raises:
        ValueError: There is no variation of a name, or none is named.
    """
    if names == "all":
        return list(VARIATIONS)
    wanted = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    for name in wanted or [""]:
        if name not in VARIATIONS:
            raise ValueError(f"variation {name!r} is unknown, expected all or of {', '.join(VARIATIONS)}")
    return [name for name in VARIATIONS if name in wanted]
