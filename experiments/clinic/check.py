"""Measures the bundle on fresh test cases and holds every figure against its bar and beside its null.

What `experiments clinic check` runs and what the build prints: host, splice, explained variance, features, circuits,
steering.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from circuits.prompts.references import ReferencePool
from experiments.clinic.check_circuits import check_contrast_circuits, check_lone_circuits
from experiments.clinic.check_features import check_features
from experiments.clinic.check_host import check_host
from experiments.clinic.check_splice import check_explained_variance, check_splice
from experiments.clinic.check_steering import check_steering
from experiments.clinic.measurement import Measurement
from sae.dictionary.collection import load_saes
from sae.host.host import HostModel
from sae.progress import progress

__all__ = ["CheckReport", "check_bundle"]


@dataclass(frozen=True)
class CheckReport:
    """All measurements of one check."""

    measurements: tuple[Measurement, ...]
    details: dict[str, Any] = field(default_factory=dict)
    """Tables behind the figures, such as F1 by layer."""

    @property
    def failed(self) -> list[Measurement]:
        """Measurements under their bar, or whose null reaches it."""
        return [m for m in self.measurements if not m.passed]

    def to_json(self) -> dict[str, Any]:
        """Measurements and details as plain JSON."""
        rows = [{**asdict(m), "passed": m.passed} for m in self.measurements]
        return {"passed": not self.failed, "measurements": rows, "details": self.details}


def check_bundle(host: HostModel, saes: Path, references: ReferencePool, *, quick: bool = False) -> CheckReport:
    """Measure a host with its SAEs.

    Args:
        host: The host after the clinical stage.
        saes: Directory of the SAEs from clinical text, one per site.
        references: Prompts that a lone prompt is compared with.
        quick: A tenth of the cases: for a look, not for a verdict.
    """
    dictionaries = load_saes(saes, host=host, sites="*")
    scale = 10 if quick else 1
    stages: list[tuple[str, Callable[[], tuple[list[Measurement], dict[str, Any]]]]] = [
        ("host", lambda: check_host(host, n_cases=1500 // scale)),
        ("splice", lambda: check_splice(host, dictionaries, n_cases=500 // scale, n_documents=600 // scale)),
        ("explained_variance", lambda: check_explained_variance(host, dictionaries, n_documents=1200 // scale)),
        # fewer do not tell every diagnosis often enough to be scored
        ("features", lambda: check_features(host, dictionaries, n_documents=1200 if quick else 2400)),
        ("contrast_circuits", lambda: check_contrast_circuits(host, dictionaries, n_pairs=240 // scale)),
        ("lone_circuits", lambda: check_lone_circuits(host, dictionaries, references, n_prompts=60 // scale)),
        ("steering", lambda: check_steering(host, dictionaries, n_cases=200 // scale)),
    ]
    measurements: list[Measurement] = []
    details: dict[str, Any] = {}
    for name, measure in progress(stages, "checking", unit="stage"):
        found, detail = measure()
        measurements += found
        details[name] = detail
    return CheckReport(tuple(measurements), json.loads(json.dumps(details)))
