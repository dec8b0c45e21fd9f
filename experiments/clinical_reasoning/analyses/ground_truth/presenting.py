"""The record for people."""

from collections.abc import Mapping
from typing import Any

from experiments.clinical_reasoning.analyses.ground_truth.figures import basis_figure, circuit_picture, method_figure
from experiments.clinical_reasoning.analyses.ground_truth.name_tables import (
    agreement_table,
    basis_table,
    error_table,
    finding_table,
    precision_table,
)
from experiments.clinical_reasoning.analyses.ground_truth.recall_tables import (
    answer_table,
    cause_table,
    condition_table,
    paired_table,
    place_table,
    whole_table,
)
from experiments.clinical_reasoning.analyses.ground_truth.recorded import Recorded
from experiments.clinical_reasoning.analyses.ground_truth.sentences import sentences
from experiments.clinical_reasoning.analysis import Presented
from experiments.report.contents import Section

__all__ = ["present"]

TEXT = (
    "The truth is in the prompt: a finding causes the model's answer where most of its single swaps change it. For "
    "each cause one such swap is the contrast of a circuit; the circuits of a case together are asked whether any of "
    "their nodes is named for the cause, however it is told. A contrast differs from its prompt in one finding, so "
    "that nearly everything that differs is due to it: recall over all sites says little by itself, and less the fewer "
    "nodes differ; to read off the changed word would recall every cause. Which nodes count, few nodes, and the "
    "contrast in which every finding changes are the sharper questions. Names were chosen on validation documents, "
    "cases are of the test split, and nothing was fitted to them."
)


def present(record: Mapping[str, Any]) -> Presented:
    """Tables, figures and findings of a record of `measure`."""
    recorded = Recorded(record)
    made = (
        agreement_table(recorded),
        cause_table(recorded),
        place_table(recorded),
        whole_table(recorded),
        answer_table(recorded),
        condition_table(recorded),
        precision_table(recorded),
        paired_table(recorded),
        error_table(recorded),
        basis_table(recorded),
        finding_table(recorded),
    )
    tables = tuple(table for table in made if table is not None)
    figures = (method_figure(recorded), basis_figure(recorded), circuit_picture(recorded))
    section = Section("Circuits against the known cause", TEXT, tables, figures)
    return Presented(section, sentences(recorded, {table.name: table for table in tables}))
