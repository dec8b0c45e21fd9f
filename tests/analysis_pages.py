"""What every analysis's section must survive: Markdown, HTML, and a record that went through JSON."""

import json

from experiments.report.contents import Report
from experiments.report.markdown import report_markdown
from experiments.report.page import report_page


def rendered(code, record) -> str:
    """The Markdown of what an analysis says of a record; the page is made too."""
    presented = code.present(json.loads(json.dumps(record, allow_nan=False)))
    report = Report("c", "p", "Title", "Claim?", presented.findings, (), {}, {"all": 1.0}, (presented.section,))
    assert presented.findings
    assert "<html" in report_page(report)
    return report_markdown(report)
