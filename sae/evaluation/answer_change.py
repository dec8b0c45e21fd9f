"""Whether splicing a dictionary in changes how many answers are right: an exact test, paired by document."""

from dataclasses import asdict, dataclass
from typing import Any

from scipy.stats import binomtest

from sae.evaluation.document_statistics import EvaluationTable

__all__ = ["AnswerChange", "answer_change"]


@dataclass(frozen=True)
class AnswerChange:
    """The plain and the spliced host beside each other on the same answers.

    Attributes:
        n_answers: Answers that were asked for.
        n_right_plain: Right in the plain host.
        n_right: Right with the dictionary spliced in and its error dropped.
        n_lost: Right before and wrong after.
        n_gained: Wrong before and right after.
        n_documents_worse: Documents that lost more answers than they gained.
        n_documents_better: Documents that gained more than they lost.
        p_value: Two-sided exact sign test over those documents. With one answer a document it is McNemar's exact test
            (1947); several answers of one document are not independent and count once.
    """

    n_answers: int
    n_right_plain: int
    n_right: int
    n_lost: int
    n_gained: int
    n_documents_worse: int
    n_documents_better: int
    p_value: float

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def answer_change(table: EvaluationTable, name: str, *, position_class: str = "answer") -> AnswerChange | None:
    """The test for one dictionary; None where the documents ask for no answer."""
    text = table.columns(table.text, position_class)
    found = table.columns(table.dictionaries[name], position_class)
    n_answers = int(text["n_predictions"].sum())
    if n_answers == 0:
        return None
    change = found["n_gained"] - found["n_lost"]
    n_worse, n_better = int((change < 0).sum()), int((change > 0).sum())
    return AnswerChange(
        n_answers=n_answers,
        n_right_plain=int(text["n_right"].sum()),
        n_right=int(found["n_right"].sum()),
        n_lost=int(found["n_lost"].sum()),
        n_gained=int(found["n_gained"].sum()),
        n_documents_worse=n_worse,
        n_documents_better=n_better,
        p_value=float(binomtest(n_worse, n_worse + n_better).pvalue) if n_worse + n_better else 1.0,
    )
