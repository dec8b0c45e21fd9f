"""Which features of a language model mediate a behaviour."""

from sae.lazy_exports import lazy_exports

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Behaviour": "circuits.behaviour",
        "Circuit": "circuits.circuit",
        "Edge": "circuits.circuit",
        "Node": "circuits.circuit",
        "Workbench": "circuits.workbench",
        "discover": "circuits.discovery",
        "open_workbench": "circuits.workbench",
    },
)
