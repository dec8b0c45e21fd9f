"""The sections of the report about features: what was measured of them, host by host."""

from collections.abc import Callable, Sequence

from experiments.domain_vs_broad.feature_tables import middle_of
from experiments.domain_vs_broad.measures.beyond_nulls import beyond_nulls_findings, beyond_nulls_table
from experiments.domain_vs_broad.measures.concept_tables import absorption_table, localisation_table, probing_table
from experiments.domain_vs_broad.measures.difference_table import difference_table
from experiments.domain_vs_broad.measures.figures import f1_figure, residual_figure
from experiments.domain_vs_broad.measures.measured_host import MeasuredHost
from experiments.domain_vs_broad.measures.residual_tables import causal_table, residual_table
from experiments.domain_vs_broad.measures.rule_tables import rule_table
from experiments.domain_vs_broad.running import Matrix
from experiments.report.contents import Figure, Section, Table

__all__ = ["measure_findings", "measure_sections", "measured_hosts"]

TableOf = Callable[[MeasuredHost], Table | None]
FigureOf = Callable[[MeasuredHost], Figure | None]


def measured_hosts(matrix: Matrix) -> list[MeasuredHost]:
    """What was measured in each host; records are read once, so that all of a report should be made of the same."""
    return [MeasuredHost(matrix, name) for name, _ in matrix.profile.hosts]


def measure_sections(hosts: Sequence[MeasuredHost]) -> tuple[Section, ...]:
    """One for each kind of measure; where none of the dictionaries has it, the section says why in a line."""
    l0 = middle_of(hosts[0].matrix.profile.l0)
    return (
        _section(
            "What kind of error is left",
            f"Of every arm the dictionaries of wanted L0 {l0:g}, on held-out text of the domain.",
            hosts,
            {"residual": (residual_table, causal_table)},
            residual_figure,
        ),
        _section(
            "Can features be explained, without a judge",
            "How well rules of words and of concepts tell where a feature fires.",
            hosts,
            {"interpretability": (lambda each: rule_table(each, "lexical"), lambda each: rule_table(each, "ontology"))},
            f1_figure,
        ),
        _section(
            "Do features fire where their concepts are told",
            "Localisation accuracy; the definition is this project's.",
            hosts,
            {"localisation": (localisation_table,)},
        ),
        _section(
            "What a few features tell of a document, and what absorbs them",
            "Sparse probing and absorption.",
            hosts,
            {"probing": (probing_table,), "absorption": (absorption_table,)},
        ),
        Section(
            "Features of arms against those of the broad arm",
            "All measures once more, as differences.",
            tuple(table for each in hosts if (table := difference_table(each)) is not None),
        ),
        Section(
            "Features against nulls",
            "Scores once more, less what those score that learned nothing, or not this.",
            tuple(table for each in hosts if (table := beyond_nulls_table(each)) is not None),
        ),
    )


def measure_findings(hosts: Sequence[MeasuredHost]) -> tuple[str, ...]:
    """What the last host says, in a sentence or none."""
    return tuple(beyond_nulls_findings(hosts[-1]))


def _section(
    title: str,
    text: str,
    hosts: Sequence[MeasuredHost],
    parts: dict[str, tuple[TableOf, ...]],
    draw: FigureOf = lambda _: None,
) -> Section:
    tables: list[Table] = []
    missing: list[str] = []
    for part, makers in parts.items():
        for host in hosts:
            if (reason := host.reason(part)) is not None:
                missing.append(f"{part.capitalize()}, host {host.host} adaptation, is left out: {reason}.")
                continue
            missing += [
                f"{part.capitalize()} of a dictionary of `{arm}`, host {host.host} adaptation, is left out: {why}."
                for arm, why in host.gaps(part).items()
            ]
            tables += [table for make in makers if (table := make(host)) is not None]
    figures = tuple(figure for host in hosts if (figure := draw(host)) is not None)
    return Section(title, " ".join((text, *dict.fromkeys(missing))), tuple(tables), figures)
