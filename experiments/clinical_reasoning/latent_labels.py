"""Whether the label of a latent names what differs between the prompts of a pair."""

from collections.abc import Sequence

from circuits.workbench import Workbench
from experiments.clinical_reasoning.attributed_latents import Latent
from experiments.clinical_reasoning.vignette_pair import VignettePair

__all__ = ["label_texts", "names", "names_of_answers", "names_of_change"]


def label_texts(workbench: Workbench, latents: Sequence[Latent]) -> list[str | None]:
    """The label of each latent; None where it has none that fits well enough."""
    found = [workbench.labels[site].get(feature) for site, feature in latents]
    return [None if label is None else label.text for label in found]


def names_of_change(pair: VignettePair) -> list[str]:
    """What the concepts of both sides are called, whatever is said of them: `fever` of `neg:fever`."""
    return sorted({_name(concept) for concept in (pair.changed_from, pair.changed_to)})


def names_of_answers(pair: VignettePair) -> list[str]:
    """The answers of both sides."""
    return sorted({pair.answer, pair.changed_answer})


def names(label: str | None, wanted: Sequence[str]) -> bool:
    """Whether a label is about one of some names: `finding:fever` and `neg:fever` are both about `fever`."""
    return label is not None and _name(label) in wanted


def _name(concept: str) -> str:
    return concept.partition(":")[2] or concept
