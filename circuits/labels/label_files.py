"""Labels in files: JSON lines of a user's own, `labels.json` of dictionaries, and what `sae features --json` printed.

A line is `{"site": "resid_post.3", "feature": 117, "label": "fever", "score": 0.97}`; the score says how well the
label fits, 0 to 1, for example as F1.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sae.dictionary.formats.registry import is_sae_directory, read_site
from sae.dictionary.labels import LABELS_FILE, FeatureLabel, load_labels
from sae.host.sites import Site
from sae.written_whole import written_whole

__all__ = ["Labels", "read_labels", "sae_directories", "write_labels"]

Labels = Mapping[tuple[Site, int], FeatureLabel]
"""By site and feature."""

EXPECTED = "expected site, feature, label and score"


def read_labels(path: Path) -> dict[tuple[Site, int], FeatureLabel]:
    """All labels of a file or a directory, whatever their score.

    Args:
        path: A `.jsonl` file, a `labels.json` in an SAE's directory, the JSON of `sae features`, an SAE's directory, or
            a directory of those.

    Raises:
        ValueError: It cannot be read or holds no label; of a bad line the number is named.
    """
    if path.is_dir():
        labels = dict(_of_directories(path))
    elif path.name == LABELS_FILE:
        labels = dict(_of_directories(path.parent))
    elif path.suffix == ".json":
        labels = dict(_of_report(path))
    else:
        labels = _of_lines(path)
    if not labels:
        raise ValueError(f"{str(path)!r} holds no label, {EXPECTED} on each line")
    return labels


def write_labels(labels: Labels, path: Path) -> None:
    """Write labels as JSON lines that `read_labels` reads.

    Raises:
        ValueError: If the file cannot be written.
    """
    lines = [
        json.dumps({"site": str(site), "feature": feature, "label": label.text, "score": label.f1}, ensure_ascii=False)
        for (site, feature), label in sorted(labels.items(), key=lambda entry: entry[0])
    ]
    with written_whole(path) as part:
        part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def sae_directories(path: Path) -> dict[Site, Path]:
    """The SAE directories at a path or one level below, by site.

    Raises:
        ValueError: There is none, or two are at the same site.
    """
    directories = [path] if is_sae_directory(path) else sorted(filter(is_sae_directory, path.glob("*")))
    found: dict[Site, Path] = {}
    for directory in directories:
        site = read_site(directory)
        if site is None or site in found:
            raise ValueError(
                f"{str(directory)!r} does not say its site, or another SAE beside it has the same; move it"
            )
        found[site] = directory
    if not found:
        raise ValueError(f"{str(path)!r} holds neither a circuit nor an SAE; give the directory of one")
    return found


def _of_directories(path: Path) -> Iterator[tuple[tuple[Site, int], FeatureLabel]]:
    for site, directory in sae_directories(path).items():
        for feature, label in load_labels(directory, min_f1=0.0).items():
            yield (site, feature), label


def _of_report(path: Path) -> Iterator[tuple[tuple[Site, int], FeatureLabel]]:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        site = Site.parse(report["source"]["site"])
        for entry in report.get("features", [report]):
            if entry["label"] is not None:
                label = {"label": entry["label"]["text"], "score": entry["label"]["f1"], "feature": entry["feature"]}
                yield _entry({"site": str(site), **label})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{str(path)!r} is not what `sae features --json` prints ({error!r}); print it again"
        ) from error


def _of_lines(path: Path) -> dict[tuple[Site, int], FeatureLabel]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"label file {str(path)!r} cannot be read ({error}); expected lines of JSON") from error
    labels: dict[tuple[Site, int], FeatureLabel] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            place, label = _entry(json.loads(line))
            if place in labels:
                raise ValueError(f"feature {place[1]} of {place[0]} has a label already, expected one")
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number} of {str(path)!r} is no label: {error}") from None
        labels[place] = label
    return labels


def _entry(record: Any) -> tuple[tuple[Site, int], FeatureLabel]:
    if not isinstance(record, dict) or not record.keys() >= {"site", "feature", "label", "score"}:
        raise ValueError(EXPECTED)
    feature, label, score = record["feature"], record["label"], record["score"]
    if type(feature) is not int or feature < 0:
        raise ValueError(f"feature is {feature!r}, expected an index from 0")
    if not isinstance(label, str) or not label.strip():
        raise ValueError(f"label is {label!r}, expected a text")
    if type(score) not in (int, float) or not 0 <= score <= 1:
        raise ValueError(f"score is {score!r}, expected a number in [0, 1]")
    return (Site.parse(str(record["site"])), feature), FeatureLabel(label.strip(), float(score))
