"""Names of features, kept in `labels.json` beside the weights.

The file is `{"schema_version": 1, "source": "...", "labels": {"117": {"label": "pos:fever", "f1": 0.97}, ...}}`, where
f1 was scored on documents that did not choose the label.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from sae.written_whole import written_whole

__all__ = ["LABELS_FILE", "MIN_LABEL_F1", "FeatureLabel", "load_labels", "save_labels"]

LABELS_FILE = "labels.json"
MIN_LABEL_F1 = 0.5
"""A name that fits worse than this is not shown."""

_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class FeatureLabel:
    """What a feature stands for, and how well."""

    text: str
    f1: float
    """F1 of the feature as a detector of the concept, 0 to 1, on held-out documents."""


def load_labels(directory: Path | None, *, min_f1: float = MIN_LABEL_F1) -> dict[int, FeatureLabel]:
    """Labels of an SAE directory with an F1 of at least `min_f1`; none where there is no label file.

    Raises:
        ValueError: If the file is not what it should be.
    """
    path = None if directory is None else Path(directory) / LABELS_FILE
    if path is None or not path.is_file():
        return {}
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))["labels"]
        labels = {
            int(feature): FeatureLabel(str(entry["label"]), float(entry["f1"])) for feature, entry in stored.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"label file {str(path)!r} is damaged ({error!r}); restore it or delete it") from error
    return {feature: label for feature, label in labels.items() if label.f1 >= min_f1}


def save_labels(directory: Path, labels: dict[int, FeatureLabel], *, source: str) -> None:
    """Write the labels of an SAE directory; `source` says how they were chosen and scored."""
    path = Path(directory) / LABELS_FILE
    entries = {str(i): {"label": label.text, "f1": round(label.f1, 4)} for i, label in sorted(labels.items())}
    record = {"schema_version": _SCHEMA_VERSION, "source": source, "labels": entries}
    with written_whole(path) as part:
        part.write_text(json.dumps(record, indent=1), encoding="utf-8")
