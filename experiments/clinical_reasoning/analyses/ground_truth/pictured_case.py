"""One circuit for people to look at: of the first case with a cause, that of its first."""

from collections.abc import Sequence
from typing import Any

from circuits.discovery import discover
from circuits.drawing import circuit_figure
from circuits.workbench import Workbench
from experiments.clinical_reasoning.analyses.ground_truth.causes import CausedCase
from experiments.report.picture import svg_of

__all__ = ["pictured_circuit"]


def pictured_circuit(bench: Workbench, cases: Sequence[CausedCase]) -> dict[str, Any]:
    """The circuit that `circuits discover` finds with its own settings, as a picture, and what was asked."""
    case = next(case for case in cases if case.contrasts)
    contrast = case.contrasts[0]
    circuit = discover(contrast.prompt, contrast=contrast.changed_prompt, workbench=bench)
    return {
        "template": case.template,
        "replaced": dict(contrast.replaced),
        "target": circuit.target.strip(),
        "foil": circuit.foil.strip(),
        "n_features": len(circuit.features),
        "svg": svg_of(circuit_figure(circuit)),
    }
