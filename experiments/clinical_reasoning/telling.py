"""A case as a prompt of the clinic: its words, the question, and where it says what.

Two things that the clinic's own texts do not say are told here in their words: a denied finding is asserted where it
was denied, and a relative has a finding instead of a disease.
"""

import re
from dataclasses import dataclass, replace

from experiments.clinic.cases import Case
from experiments.clinic.document import DocumentBuilder
from experiments.clinic.phrasing import DENIALS, QUESTIONS, Phrasing
from experiments.clinic.vignettes import ask, write_vignette
from sae.annotated_text import TextSpan

__all__ = ["ASSERTIONS", "Telling", "tell"]

ASSERTIONS = (" {He} reports", " There is a sign of", ", with", ", but has", " Findings:", " {He} has the")
"""What stands for the first words of each of `DENIALS` where its finding is asserted, in as many tokens."""

_PRONOUNS = {"man": r"\b(He|His)\b", "woman": r"\b(She|Her)\b"}
_ARTICLE = re.compile(r"\b(an?) $", re.IGNORECASE)
_PREPOSITION = re.compile(r"\b(in|on) the $")


@dataclass(frozen=True)
class Telling:
    """What a prompt tells and asks.

    Attributes:
        case: The facts in the order in which they are told.
        phrasing: In which words.
        question: `diagnosis`, or `treatment` after the diagnosis was told.
        is_asserted: Whether the only finding that is denied in words is asserted in its place.
        relatives_finding: What the relative of `case.family` had, instead of a disease.
    """

    case: Case
    phrasing: Phrasing
    question: str = "diagnosis"
    is_asserted: bool = False
    relatives_finding: str | None = None


def tell(telling: Telling) -> tuple[str, tuple[TextSpan, ...]]:
    """The prompt, without a trailing space, and the concepts that it says.

    Beside those of the clinic's documents there are `history:smoking` for histories that do not matter, and
    `cue:denied` or `cue:asserted` for the words that a denied finding stands behind. What must agree belongs to a
    mention: the article to the age, pronouns to the sex, the preposition to the place.
    """
    case = telling.case
    if telling.relatives_finding is not None:
        assert case.family is not None, "somebody must have had the finding"
        case = replace(case, family=(case.family[0], telling.phrasing.surfaces[telling.relatives_finding]))
    builder = DocumentBuilder()
    write_vignette(builder, case, telling.phrasing)
    if telling.question != "diagnosis":
        ask(builder, case, telling.phrasing, "diagnosis")
    spans = [TextSpan(span.start, span.end, span.concept) for span in builder.spans]
    spans = [_agreeing(builder.text, span) for span in spans] + _further_mentions(builder.text, case)
    if telling.relatives_finding is not None:
        spans = [_renamed(span, telling.relatives_finding) for span in spans]
    text, spans = _with_cue(builder.text, spans, telling)
    text += QUESTIONS[telling.question][telling.phrasing.questions[telling.question]]
    return text, tuple(sorted(spans, key=lambda span: (span.start, span.end)))


def _agreeing(text: str, span: TextSpan) -> TextSpan:
    """The span with the words before it that change with it."""
    family = span.concept.partition(":")[0]
    before = {"demo": _ARTICLE, "setting": _PREPOSITION}.get(family)
    found = before.search(text[: span.start]) if before is not None else None
    return span if found is None else replace(span, start=found.start())


def _further_mentions(text: str, case: Case) -> list[TextSpan]:
    """Pronouns, and the history that does not matter."""
    pronouns = re.finditer(_PRONOUNS[case.sex], text)
    spans = [TextSpan(*pronoun.span(), f"demo:{case.sex}") for pronoun in pronouns]
    if case.neutral_history is not None:
        start = text.index(case.neutral_history)
        concept = f"history:{case.neutral_history.replace(' ', '_')}"
        spans.append(TextSpan(start, start + len(case.neutral_history), concept))
    return spans


def _renamed(span: TextSpan, finding: str) -> TextSpan:
    return replace(span, concept=f"family:{finding}") if span.concept.startswith("family:") else span


def _with_cue(text: str, spans: list[TextSpan], telling: Telling) -> tuple[str, list[TextSpan]]:
    """The text with its denial turned, if it is, and with a span for the words that deny or assert."""
    denied = [finding for finding in telling.case.denied if finding not in telling.case.values]
    if not denied:
        return text, spans
    he = "She" if telling.case.sex == "woman" else "He"
    denial = DENIALS[telling.phrasing.denial].partition("{denied")[0].rstrip().replace("{He}", he)
    start, cue = text.index(denial), denial
    if telling.is_asserted:
        assert len(denied) == 1, "one cue stands before all that is denied"
        cue = ASSERTIONS[telling.phrasing.denial].replace("{He}", he)
        text = text[:start] + cue + text[start + len(denial) :]
        spans = [_asserted(_moved(span, start, len(cue) - len(denial)), denied[0]) for span in spans]
    own = TextSpan(start + len(cue) - len(cue.lstrip(" ,")), start + len(cue), _cue_concept(telling.is_asserted))
    return text, [*spans, own]


def _cue_concept(is_asserted: bool) -> str:
    return "cue:asserted" if is_asserted else "cue:denied"


def _moved(span: TextSpan, behind: int, by: int) -> TextSpan:
    """A pronoun may begin the cue itself, and then stays."""
    return span if span.start <= behind + 1 else replace(span, start=span.start + by, end=span.end + by)


def _asserted(span: TextSpan, finding: str) -> TextSpan:
    return replace(span, concept=f"pos:{finding}") if span.concept == f"neg:{finding}" else span
