"""What analyses of clinical reasoning present, rendered as reports are."""

from experiments.clinical_reasoning.analysis import Presented
from experiments.report.contents import Report
from experiments.report.markdown import report_markdown
from experiments.report.page import report_page


def markdown_and_page(presented: Presented) -> tuple[str, str]:
    """Both forms of a report that holds nothing else."""
    report = Report(
        "clinical-reasoning", "test", "Title", "Claim?", presented.findings, (), {}, {}, (presented.section,)
    )
    return report_markdown(report), report_page(report)
