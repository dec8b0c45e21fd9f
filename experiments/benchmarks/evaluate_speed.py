"""How long `circuits evaluate` takes on the bundled model, once it is loaded.

Run it as `python -m experiments.benchmarks.evaluate_speed`. Nothing is timed unless an evaluation finds the
faithfulness that the discovery found. It prints one JSON object and adds its rows to `results/evaluate_speed.csv`.
"""

import json
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Any

from circuits.discovery import discover
from circuits.evaluation.evaluating import evaluate
from circuits.graph.circuit import Circuit
from circuits.workbench import Workbench, open_workbench
from experiments.benchmarks.figures import seconds, summary
from experiments.benchmarks.result_files import RESULTS, append_row, machine
from experiments.clinic.case_sampling import PairedCase, paired_cases

__all__ = ["main"]

REPEATS = 5
GATE_TOLERANCE = 1e-4
NULLS = ("random_features", "matched_features", "shuffled_decoder")


def main() -> None:
    """Gate, measure, print."""
    bench = open_workbench("clinic")
    pairs = list(islice(paired_cases(bench.host.tokenizer, seed=31), REPEATS))
    contrast = [_circuit(bench, pair, with_contrast=True) for pair in pairs]
    lone = [_circuit(bench, pair, with_contrast=False) for pair in pairs]
    _gate(bench, [*contrast, *lone])
    figures = {
        "contrast, 12 sizes, 3 nulls": (_times(bench, contrast, nulls=NULLS, edges=False), 2.0),
        "contrast, all nulls, edges": (_times(bench, contrast), None),
        "lone prompt, all nulls, edges": (_times(bench, lone), None),
    }
    summaries = {name: summary(values, at_most=bar) for name, (values, bar) in figures.items()}
    found = machine()
    for name, of_values in summaries.items():
        columns = {f"seconds_{key}": of_values[key] for key in ("median", "low", "high")}
        append_row(RESULTS / "evaluate_speed.csv", {"evaluation": name, "circuits": REPEATS, **columns, **found})
    print(json.dumps({"machine": found, "figures": summaries}, indent=1))


def _circuit(bench: Workbench, pair: PairedCase, *, with_contrast: bool) -> Circuit:
    contrast = pair.contrasts[0].prompt if with_contrast else None
    return discover(pair.test_case.prompt, contrast=contrast, workbench=bench)


def _gate(bench: Workbench, circuits: Sequence[Circuit]) -> None:
    for circuit in circuits:
        expected = None if circuit.faithfulness is None else circuit.faithfulness.value
        found = evaluate(circuit, nulls="none", edges=False, workbench=bench).curves.circuit.faithfulness.value
        if (found is None) != (expected is None) or abs((found or 0.0) - (expected or 0.0)) > GATE_TOLERANCE:
            raise ValueError(f"the evaluation found {found}, the discovery {expected}; nothing was timed")


def _times(bench: Workbench, circuits: Sequence[Circuit], **options: Any) -> list[float]:
    """Seconds of each circuit; the first one is evaluated once before."""
    evaluations = [partial(evaluate, circuit, workbench=bench, **options) for circuit in circuits]
    evaluations[0]()
    return [seconds(evaluation) for evaluation in evaluations]


if __name__ == "__main__":
    main()
