"""Staged reasoning in a report: what it discloses, how much of it is causal, and whether it moves the answer."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.clinical_reasoning.analysis import Presented
from experiments.clinical_reasoning.row_figure import row_picture
from experiments.clinical_reasoning.statistics import by_template, mean, ratio, sign_flip
from experiments.report.contents import Figure, Row, Section, Table
from experiments.report.wording import figure_of, interval_of, number
from sae.measurement import Measurement

__all__ = ["present"]

Units = Sequence[Mapping[str, Any]]
DISCLOSED, SHARE = "named", "share"
ANOTHER, AT_RANDOM = "text of another case", "as many told findings at random"
FOLLOWS_STATED, FOLLOWS_VIGNETTE, NEITHER = "follows what is stated", "follows the vignette", "neither"
UNEDITED = "nothing edited"
RANDOM_SWAP = "random swap"
STATED_IS = {
    "stated swapped": "swapped",
    "stated swapped at random": "swapped",
    "vignette swapped": "original",
    "stated of the other": "swapped",
    "assessed as the other": "swapped",
}
"""Whose diagnosis the stated findings point to; the vignette points to the other."""
TITLES = {
    "stated swapped": "named finding swapped in the text",
    "vignette swapped": "finding swapped in the vignette, text kept",
    "stated of the other": "findings stated for the other vignette",
    "assessed as the other": "findings and assessment of the other vignette",
}


def present(record: Mapping[str, Any]) -> Presented:
    """The record for people."""
    units: Units = record["units"]
    tables = (_disclosure(units), _precision(units), _conclusions(units))
    figure = Figure(
        "staged_reasoning",
        "What the staged answer follows where text and vignette disagree",
        "Share of pairs in which the model's conclusion is the diagnosis that the stated findings point to, or that of "
        "the vignette; whiskers are 95 % intervals over templates. Grey: how often the diagnosis that the stated "
        "findings point to is reached when nothing is edited.",
        row_picture(
            tables[2].rows, (FOLLOWS_STATED, FOLLOWS_VIGNETTE), "share of pairs", null=UNEDITED, limits=(-0.02, 1.02)
        ),
    )
    section = Section("Does the stated reasoning tell what moved the answer", _text(record), tables, (figure,))
    return Presented(section, _findings(units))


def _text(record: Mapping[str, Any]) -> str:
    return (
        "Behind a vignette the model writes staged text: key findings, assessment, diagnosis. Pairs of vignettes "
        "differ in one finding, of equal token length; a pair counts where both texts go through the stages and end in "
        f"the right diagnoses, so that the swap moved the answer: {len(record['units'])} of {record['n_pairs']} pairs "
        f"({record['n_staged']} went through the stages on both sides; {record['n_drawn'] - record['n_pairs']} draws "
        "had no swap told in words). A told finding is causal for the model where one of four random swaps of it "
        "changes the model's direct answer; measured findings are not swapped and count neither way. The model was "
        "trained on such texts, whose key findings are the decisive ones by the rule of its world: that it names them "
        "is learned, that the names do anything is not."
    )


def _mean(units: Units, key: str) -> Measurement:
    known = [unit for unit in units if unit[key] is not None]
    return by_template([float(unit[key]) for unit in known], [unit["template"] for unit in known], mean)


def _ratio(units: Units, part: str, whole: str) -> Measurement:
    values = [(float(unit[part]), float(unit[whole])) for unit in units]
    return by_template(values, [unit["template"] for unit in units], ratio)


def _disclosure(units: Units) -> Table:
    rows = []
    for title, chosen in (
        ("the finding that was swapped", units),
        ("of these, present ones", [unit for unit in units if unit["polarity"] == "pos"]),
        ("of these, denied ones", [unit for unit in units if unit["polarity"] == "neg"]),
    ):
        nulls = {ANOTHER: _mean(chosen, "null_disclosed"), AT_RANDOM: _mean(chosen, "random_disclosed")}
        rows.append(Row(title, {DISCLOSED: _mean(chosen, "disclosed")}, nulls))
    rows.append(Row("what was swapped in, on the other side", {DISCLOSED: _mean(units, "changed_disclosed")}))
    return Table(
        "staged_disclosure",
        "Does the text name the finding that moved the answer",
        (DISCLOSED,),
        tuple(rows),
        nulls=(ANOTHER, AT_RANDOM),
        note="Named with the right polarity. Nulls: whether the text of another case, nearest in token length, names "
        "it; and how often as many of the vignette's own findings, drawn at random, would.",
    )


def _precision(units: Units) -> Table:
    rows = (
        Row(
            "named findings that are causal for the model (precision)",
            {SHARE: _ratio(units, "n_known_causal", "n_known")},
            {AT_RANDOM: _ratio(units, "n_causal", "n_swappable")},
        ),
        Row(
            "causal findings that are named (recall)",
            {SHARE: _ratio(units, "n_causal_named", "n_causal")},
            {AT_RANDOM: _ratio(units, "n_named_told", "n_told")},
        ),
        Row("named findings that the vignette does not tell", {SHARE: _ratio(units, "n_untold", "n_named")}),
    )
    return Table(
        "staged_precision",
        "Are the named findings causal",
        (SHARE,),
        rows,
        nulls=(AT_RANDOM,),
        note="Findings that the vignette does not tell count as not causal. For invented findings there is no null: "
        "told ones drawn at random are never invented.",
    )


def _conclusions(units: Units) -> Table:
    rows = []
    for edit, title in TITLES.items():
        cells, nulls = _followed(units, edit)
        rows.append(Row(title, cells, nulls))
    return Table(
        "staged_conclusions",
        "What the answer follows where stated findings and vignette disagree",
        (FOLLOWS_STATED, FOLLOWS_VIGNETTE, NEITHER, "p (sign flips)"),
        tuple(rows),
        nulls=(UNEDITED, RANDOM_SWAP),
        note="The text is given up to the assessment, from where the model goes on; in the last row up to the "
        "diagnosis, which shows whether anything written can move the answer. Null: the same diagnosis when "
        "nothing is edited, or when the named finding is swapped for a random one. The test is of the two first "
        "columns, by turning the signs of whole templates.",
    )


def _known(units: Units, edit: str) -> list[tuple[str, str]]:
    """Conclusion and template of the pairs in which the edit could be made."""
    found = [(unit["conclusions"][edit], unit["template"]) for unit in units]
    return [(conclusion, template) for conclusion, template in found if conclusion is not None]


def _share(known: Sequence[tuple[str, str]], verdict: str) -> Measurement:
    return by_template([float(each == verdict) for each, _ in known], [template for _, template in known])


def _followed(units: Units, edit: str) -> tuple[dict[str, Measurement | str], dict[str, Measurement]]:
    known, stated = _known(units, edit), STATED_IS[edit]
    vignette = "original" if stated == "swapped" else "swapped"
    difference = [float(each == stated) - float(each == vignette) for each, _ in known]
    cells: dict[str, Measurement | str] = {
        FOLLOWS_STATED: _share(known, stated),
        FOLLOWS_VIGNETTE: _share(known, vignette),
        NEITHER: _share(known, "neither"),
    }
    if known:
        cells["p (sign flips)"] = number(sign_flip(difference, [template for _, template in known]))
    if stated == "original":
        return cells, {}
    return cells, {
        UNEDITED: _share(_known(units, "nothing"), stated),
        RANDOM_SWAP: _share(_known(units, "stated swapped at random"), stated),
    }


def _findings(units: Units) -> tuple[str, ...]:
    disclosed, another, random = (_mean(units, key) for key in ("disclosed", "null_disclosed", "random_disclosed"))
    precision, chance = _ratio(units, "n_known_causal", "n_known"), _ratio(units, "n_causal", "n_swappable")
    invented = _ratio(units, "n_untold", "n_named")
    found = [
        f"The staged text names the finding that moved the answer in {_told(disclosed)} of {len(units)} pairs (text of "
        f"another case {figure_of(another)}, told findings at random {figure_of(random)}).",
        f"Of the findings that it names {_told(precision)} are causal for the model's direct answer (of told ones "
        f"{figure_of(chance)}); {_told(invented)} are not in the vignette at all.",
    ]
    for edit, title in TITLES.items():
        cells, _ = _followed(units, edit)
        stated, vignette = cells[FOLLOWS_STATED], cells[FOLLOWS_VIGNETTE]
        assert isinstance(stated, Measurement)
        assert isinstance(vignette, Measurement)
        if stated.value is None or vignette.value is None:
            continue
        p = sign_flip(
            [
                float(each == STATED_IS[edit]) - float(each in {"original", "swapped"} - {STATED_IS[edit]})
                for each, _ in _known(units, edit)
            ],
            [template for _, template in _known(units, edit)],
        )
        verdict = "no clear preference"
        if p < 0.05:
            verdict = (
                "what is stated moves the answer more" if stated.value > vignette.value else "the vignette prevails"
            )
        found.append(
            f"{title.capitalize()}: the answer follows what is stated in {_told(stated)}, the vignette in "
            f"{_told(vignette)}: {verdict}."
        )
    return tuple(found)


def _told(measured: Measurement) -> str:
    return f"{figure_of(measured)} ({interval_of(measured)})"
