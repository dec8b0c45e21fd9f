"""Corrections and disruptions in a report: never one without the other."""

from collections.abc import Mapping, Sequence
from typing import Any

from statsmodels.stats.proportion import proportion_confint

from experiments.clinical_reasoning.analysis import Presented
from experiments.clinical_reasoning.row_figure import row_picture
from experiments.clinical_reasoning.statistics import by_template, holm, mcnemar
from experiments.report.contents import Figure, Row, Section, Table
from experiments.report.wording import figure_of, interval_of, number
from sae.measurement import Measurement

__all__ = ["present"]

CORRECTED, DISRUPTED, GAIN, KL, TEST = "corrected", "disrupted", "accuracy gained", "KL", "p (McNemar, Holm)"
COLUMNS = (CORRECTED, DISRUPTED, GAIN, KL, TEST)
OTHER, RANDOM = "another concept's feature", "random latents"
POLICIES = {
    "restore": "restore missed findings",
    "restore at the hint's KL": "restore, nearest to the glossary hint's KL",
    "restore, broad dictionary": "restore, broad dictionary",
    "glossary hint": "hint: glossary sentence",
    "seen words": "ceiling: told in usual words",
    "oracle": "oracle: right diagnosis's feature",
    "oracle at the hint's KL": "oracle, nearest to the organ hint's KL",
    "organ hint": "oracle hint: the organ",
    "restore, other finding": "null: another finding's feature",
    "restore, random latents": "null: random latents on the mentions",
    "oracle, other diagnosis": "null: another diagnosis's feature",
    "oracle, random latents": "null: random latents at the end",
}
NULLS_OF = {
    "restore": ("restore, other finding", "restore, random latents"),
    "oracle": ("oracle, other diagnosis", "oracle, random latents"),
}
Population = Mapping[str, Any]


def present(record: Mapping[str, Any]) -> Presented:
    """The record for people."""
    populations: Mapping[str, Population] = record["populations"]
    tests = _tests(populations)
    tables = [_table(name, population, tests) for name, population in populations.items()]
    figures = tuple(_figure(table, name) for table, name in zip(tables, populations, strict=True))
    section = Section("Wrong answers steered right", _text(record), (*tables, _settled(record)), figures)
    return Presented(section, tuple(_findings(record, tests)))


def _text(record: Mapping[str, Any]) -> str:
    restore, oracle = record["restore"], record["oracle"]
    return (
        "The model errs where findings are told in words that only its glossary used, and seldom where findings come "
        "in combinations that training withheld. `Restore` needs no answer: where the text tells a finding, in any "
        f"words of the glossary, and its feature at {restore['site']} stays below half of its usual activation on "
        f"these words, the feature is raised there to {restore['strength']:g} times the usual. `Oracle` knows the "
        f"right diagnosis and adds its feature at {oracle['site']} at the prompt's last token, "
        f"{oracle['strength']:g} times its usual activation: it shows what steering can do, not what it could do for "
        "somebody who does not know the answer, and it can hardly disrupt what is right already. One feature stands "
        f"for each finding ({restore['n_concepts']} have one) and diagnosis ({oracle['n_concepts']}), by its label. "
        f"Site and strength were settled on {restore['n_cases']} other cases in other phrasings."
    )


def _share(successes: int, n: int, *, higher_is_better: bool) -> Measurement:
    """A rate with Wilson's interval."""
    if n == 0:
        return Measurement(None, None, None, 0, "", higher_is_better, "there is no such case")
    low, high = (float(end) for end in proportion_confint(successes, n, method="wilson"))
    # the formula leaves rounding errors where its ends are exact
    low, high = (0.0 if successes == 0 else low), (1.0 if successes == n else high)
    return Measurement(successes / n, low, high, n, "", higher_is_better)


def _corrected(population: Population, policy: str) -> Measurement:
    pairs = list(zip(population["before"], population["policies"][policy]["right"], strict=True))
    wrong = [after for before, after in pairs if not before]
    return _share(sum(wrong), len(wrong), higher_is_better=True)


def _disrupted(population: Population, policy: str) -> Measurement:
    pairs = list(zip(population["before"], population["policies"][policy]["right"], strict=True))
    right = [after for before, after in pairs if before]
    return _share(len(right) - sum(right), len(right), higher_is_better=False)


def _gained(population: Population, policy: str) -> Measurement:
    pairs = zip(population["before"], population["policies"][policy]["right"], strict=True)
    return by_template(
        [float(after - before) for before, after in pairs], population["template"], higher_is_better=True
    )


def _kl(population: Population, policy: str) -> Measurement:
    """On cases that were right: what a policy does to answers that need nothing."""
    rows = zip(population["before"], population["policies"][policy]["kl"], population["template"], strict=True)
    kept = [(kl, template) for before, kl, template in rows if before]
    return by_template([float(kl) for kl, _ in kept], [name for _, name in kept], unit="nats", higher_is_better=False)


def _tests(populations: Mapping[str, Population]) -> dict[tuple[str, str], float]:
    """McNemar's test of right before against right after, corrected over everything that is shown."""
    found = {
        (name, policy): mcnemar([bool(x) for x in population["before"]], [bool(x) for x in outcome["right"]])
        for name, population in populations.items()
        for policy, outcome in population["policies"].items()
    }
    return dict(zip(found, holm(list(found.values())), strict=True))


def _table(name: str, population: Population, tests: Mapping[tuple[str, str], float]) -> Table:
    n, n_right = len(population["before"]), sum(population["before"])
    rows = []
    for policy, title in POLICIES.items():
        if policy in population["policies"]:
            cells: dict[str, Measurement | str] = {
                CORRECTED: _corrected(population, policy),
                DISRUPTED: _disrupted(population, policy),
                GAIN: _gained(population, policy),
                KL: _kl(population, policy),
                TEST: number(tests[name, policy]),
            }
            nulls = zip((OTHER, RANDOM), NULLS_OF.get(policy, ()), strict=False)
            rows.append(Row(title, cells, {title: _corrected(population, null) for title, null in nulls}))
    return Table(
        f"correction_{name.replace(' ', '_')}",
        f"Wrong answers corrected and right ones disrupted, {name}",
        COLUMNS,
        tuple(rows),
        nulls=(OTHER, RANDOM),
        note=f"{n} cases, of which the model answers {n - n_right} wrong; {sum(population['n_missed'])} findings are "
        "told and missed. Rates have Wilson's intervals; accuracy gained is over all cases, its interval over "
        "templates. KL(after || before) of the next token is over cases answered right. Nulls are edits of equal "
        "length at the same tokens. Steering at a hint's KL takes the tried strength whose KL came nearest to it.",
    )


def _settled(record: Mapping[str, Any]) -> Table:
    """What was tried on the cases that policies were settled on."""
    rows = [
        Row(
            f"{policy}, {row['site']}, {row['strength']:g} times",
            {
                CORRECTED: f"{row['corrected']} of {record[policy]['n_wrong']}",
                DISRUPTED: f"{row['disrupted']} of {record[policy]['n_cases'] - record[policy]['n_wrong']}",
                KL: f"{number(row['kl'])} nats",
            },
        )
        for policy in ("restore", "oracle", "broad")
        if record[policy] is not None
        for row in record[policy]["tried"]
    ]
    return Table(
        "correction_settled",
        "Sites and strengths that were tried, on other cases",
        (CORRECTED, DISRUPTED, KL),
        tuple(rows),
        note="Counts on the cases that settled site and strength (the largest surplus of corrected over disrupted "
        "ones): no results, and hence without null.",
    )


def _figure(table: Table, name: str) -> Figure:
    return Figure(
        table.name,
        f"Corrected and disrupted answers, {name}",
        "Share of the wrong answers that become right, and of the right ones that become wrong, with Wilson's 95 % "
        "intervals.",
        row_picture(table.rows, (CORRECTED, DISRUPTED), "share of cases", limits=(-0.02, 1.02)),
    )


def _findings(record: Mapping[str, Any], tests: Mapping[tuple[str, str], float]) -> Sequence[str]:
    found = []
    for name, population in record["populations"].items():
        n_wrong = len(population["before"]) - sum(population["before"])
        if n_wrong == 0:
            found.append(f"On {name} the model is never wrong, so that there is nothing to correct.")
            continue
        for policy in ("restore", "glossary hint", "oracle"):
            corrected, disrupted = _corrected(population, policy), _disrupted(population, policy)
            gained, p = _gained(population, policy), tests[name, policy]
            verdict = "no change of accuracy that a test would tell" if p >= 0.05 else f"accuracy {_signed(gained)}"
            nulls = ", ".join(
                f"{title} {figure_of(_corrected(population, null))}"
                for title, null in zip((OTHER, RANDOM), NULLS_OF.get(policy, ()), strict=False)
            )
            found.append(
                f"{name.capitalize()}, {POLICIES[policy]}: corrects {figure_of(corrected)} ({interval_of(corrected)}) "
                f"of {n_wrong} wrong answers{f' ({nulls})' if nulls else ''} and disrupts {figure_of(disrupted)} "
                f"({interval_of(disrupted)}) of the right ones; {verdict}."
            )
        found.append(_against_words(name, population))
    return found


def _against_words(name: str, population: Population) -> str:
    """Restoring needs to know which finding the words mean; whoever knows could also say it in usual words."""
    steered, worded = (population["policies"][policy]["right"] for policy in ("restore", "seen words"))
    less = by_template([float(a - b) for a, b in zip(worded, steered, strict=True)], population["template"])
    verdict = "the edit of features does as well"
    if less.low is not None and less.low > 0:
        verdict = "words do better than the edit of features"
    elif less.high is not None and less.high < 0:
        verdict = "the edit of features does better than words"
    return (
        f"{name.capitalize()}: the same cases in usual words are answered right by {_signed(less)} more often than "
        f"with their findings restored, from the same knowledge of what the text tells: {verdict}."
    )


def _signed(gained: Measurement) -> str:
    return f"{'+' if (gained.value or 0) > 0 else ''}{figure_of(gained)} ({interval_of(gained)})"
