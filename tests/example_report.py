"""A small report that tests write, read and look at."""

from dataclasses import replace

from experiments.report.contents import Figure, Report, Row, Section, Table
from sae.measurement import Measurement

EV = Measurement(0.912, 0.905, 0.92, 40, "", True)
NULL = Measurement(-0.0004, None, None, 1, "", True, "one unit has no interval")
NOTHING = Measurement(None, None, None, 0, "nats", False, "it is not defined on these units")
TABLE = Table(
    "fidelity",
    "Explained variance by arm",
    ("explained variance", "delta CE", "text"),
    (
        Row("domain", {"explained variance": EV, "delta CE": NOTHING, "text": "clinical"}, {"random": NULL}),
        Row("broad", {"explained variance": replace(EV, value=0.5, low=0.4, high=0.6)}, {"random": NULL}),
    ),
    ("random",),
)
FIGURE = Figure(
    "ev_l0", "Explained variance against L0", "Bands are 95 %.", "<svg xmlns='http://www.w3.org/2000/svg'/>"
)


def example_report(**changes) -> Report:
    """One table and one figure; `changes` go to its fields."""
    report = Report(
        experiment="example",
        profile="clinic",
        title="An example",
        claim="Do reports hold what they say?",
        findings=("They do.",),
        warnings=("Research tool, not for care.",),
        config={"seeds": [0, 1], "l0": 8.0},
        seconds={"train": 60.0, "evaluate": 30.0},
        sections=(Section("Fidelity", "One estimator for both arms.", (TABLE,), (FIGURE,)),),
    )
    return replace(report, **changes)
