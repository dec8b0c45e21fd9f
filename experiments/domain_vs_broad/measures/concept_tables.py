"""Tables of what features say of texts whose concepts are known."""

from experiments.domain_vs_broad.arms import TRAINED_TITLES
from experiments.domain_vs_broad.feature_tables import range_over_seeds
from experiments.domain_vs_broad.measures.measured_host import MeasuredHost
from experiments.domain_vs_broad.measures.ratios import absorption, localised, probed
from experiments.report.contents import Row, Table
from sae.measurement import Measurement

__all__ = ["absorption_table", "localisation_table", "probing_table"]

KS = (1, 2, 5, 20)


def localisation_table(measured: MeasuredHost) -> Table:
    """Whether the feature of a concept fires on the words that tell it."""
    part = "localisation"

    def of(arm: str, metric: str, table: str = "concepts") -> Measurement:
        return measured.of(arm, part, localised(metric, table=table), higher_is_better=True)

    trained = measured.trained_nulls(part, localised("f1"), higher_is_better=True)
    rows = []
    for arm in _measured_arms(measured, part):
        cells: dict[str, Measurement | str] = {
            "F1": of(arm, "f1"),
            "pointing": of(arm, "pointing"),
            "AUPRC": of(arm, "auprc"),
            "concepts above null": _above_null(measured, arm),
        }
        if all(each["unseen"] for each in measured.part(arm, part)):
            cells["F1, other words"] = of(arm, "f1", "unseen")
            cells["single token, other words"] = of(arm, "token_f1", "unseen")
        nulls = {
            "permuted labels": _permuted(measured, arm),
            "random directions": of(arm, "random_f1"),
            "single token": of(arm, "token_f1"),
            "pointing by chance": of(arm, "pointing_chance"),
        }
        rows.append(Row(arm, cells, nulls | trained))
    titles = ("permuted labels", "random directions", "single token", "pointing by chance", *TRAINED_TITLES.values())
    return Table(
        f"localisation_{measured.host}",
        f"Features of concepts against the words that tell them, host {measured.host} adaptation",
        ("F1", "pointing", "AUPRC", "concepts above null", "F1, other words", "single token, other words"),
        tuple(rows),
        titles,
        "For each concept a feature is chosen on one half of the documents and scored on the other, over tokens; "
        "pointing is how often its largest activation lies in a mention. Other words are synonyms that training "
        "hardly used. Nulls are F1 (but for pointing by chance): the 95th percentile of the best feature under "
        "permuted concept labels, the best of as many random directions, the best type of token, and null arms. "
        "Intervals are over concepts and seeds.",
    )


def probing_table(measured: MeasuredHost) -> Table:
    """What a few features tell of a document, beside its words and all of its activations."""
    part = "probing"

    def of(arm: str, method: str, labels: str = "scores") -> Measurement:
        return measured.of(arm, part, probed(method, labels=labels), higher_is_better=True)

    trained = measured.trained_nulls(part, probed("k=1"), higher_is_better=True)
    rows = []
    for arm in _measured_arms(measured, part):
        cells: dict[str, Measurement | str] = {f"k={k}": of(arm, f"k={k}") for k in KS}
        beside = {"TF-IDF": of(arm, "tfidf"), "dense probe": of(arm, "dense")}
        nulls = {"shuffled labels": of(arm, "k=1", "shuffled")}
        rows.append(Row(arm, cells, beside | nulls | trained))
    return Table(
        f"probing_{measured.host}",
        f"Balanced accuracy of sparse probes for classes of documents, host {measured.host} adaptation",
        tuple(f"k={k}" for k in KS),
        tuple(rows),
        ("TF-IDF", "dense probe", "shuffled labels", *TRAINED_TITLES.values()),
        "Features are averaged over a document's tokens; the k whose class means differ most are read by a logistic "
        "regression. Beside them probes of the words and of all mean activations. Shuffled labels and null arms are "
        "with k=1. Intervals are over classes and seeds.",
    )


def absorption_table(measured: MeasuredHost) -> Table:
    """How often a parent's feature is silent on a child whose own feature takes over."""
    part = "absorption"

    def of(arm: str, kind: str, groups: str = "hierarchy") -> Measurement:
        return measured.of(arm, part, absorption(kind, groups=groups), higher_is_better=False)

    trained = measured.trained_nulls(part, absorption("absorbed"), higher_is_better=False)
    rows = []
    for arm in _measured_arms(measured, part):
        cells: dict[str, Measurement | str] = {
            "absorbed": of(arm, "absorbed"),
            "main features silent": of(arm, "silent"),
            "pairs": range_over_seeds([len(each["hierarchy"]) for each in measured.part(arm, part)]),
        }
        controls = {
            "equally frequent, no hierarchy": of(arm, "absorbed", "matched"),
            "dealt out at random": of(arm, "absorbed", "shuffled"),
        }
        rows.append(Row(arm, cells, controls | trained))
    return Table(
        f"absorption_{measured.host}",
        f"Absorption in the hierarchy of concepts, host {measured.host} adaptation",
        ("absorbed", "main features silent", "pairs"),
        tuple(rows),
        ("equally frequent, no hierarchy", "dealt out at random", *TRAINED_TITLES.values()),
        "Share of the mentions of a child on which a probe for its parent is right, the parent's features are silent "
        "and one other feature stands in. The controls are groups of concepts that have no common parent, and null "
        "arms. Intervals are over pairs of child and parent and over seeds.",
    )


def _measured_arms(measured: MeasuredHost, part: str) -> list[str]:
    return [arm for arm in measured.matrix.profile.arms if measured.part(arm, part)]


def _permuted(measured: MeasuredHost, arm: str) -> Measurement:
    """The mean over seeds of a percentile of permutations."""
    found = [each["permuted_f1"] for each in measured.part(arm, "localisation")]
    n = len(measured.part(arm, "localisation")[0]["concepts"])
    if any(value is None for value in found):
        return Measurement(None, None, None, n, reason="no permutation was drawn")
    return Measurement(sum(found) / len(found), None, None, n, reason="a percentile of permutations has no interval")


def _above_null(measured: MeasuredHost, arm: str) -> str:
    parts = measured.part(arm, "localisation")
    counts = [each["n_above_null"] for each in parts if each["n_above_null"] is not None]
    return f"{range_over_seeds(counts)} of {len(parts[0]['concepts'])}" if counts else ""
