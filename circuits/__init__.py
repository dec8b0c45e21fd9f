"""Which features of a language model mediate a behaviour."""

from sae.lazy_exports import lazy_exports

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Behaviour": "circuits.prompts.behaviour",
        "Circuit": "circuits.graph.circuit",
        "Edge": "circuits.graph.circuit",
        "Node": "circuits.graph.circuit",
        "Workbench": "circuits.workbench",
        "discover": "circuits.discovery",
        "evaluate": "circuits.evaluation.evaluating",
        "intervene": "circuits.verification.intervening",
        "minimise": "circuits.verification.minimising",
        "open_workbench": "circuits.workbench",
        "stability": "circuits.variation.stability",
        "verify": "circuits.verification.verifying",
    },
)
