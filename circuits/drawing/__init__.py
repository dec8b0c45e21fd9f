"""What a person looks at: terminal and picture."""

from sae.lazy_exports import lazy_exports

__getattr__, __dir__ = lazy_exports(__name__, {"circuit_figure": "circuits.drawing.plot"})
