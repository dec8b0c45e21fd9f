"""Presets: what is done to a sequence, in a file that says for which model and which dictionaries it was made.

The file is `{"schema_version": 1, "kind": "steering preset", "model": {"name", "fingerprint"}, "saes": [{"site",
"path", "sha256"}, ...], "edits": [...]}`, with edits as `SteeringSpec.to_json` gives them and paths for people only.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from sae.dictionary.host_record import host_record
from sae.host.sites import Site
from sae.written_whole import written_whole
from steering.directions import Feature
from steering.interventions import SteeringSpec
from steering.json_file import read_json
from steering.steered_host import SteeredHost

__all__ = ["load_preset", "recorded_saes", "save_preset", "shipped_presets"]

KIND = "steering preset"
_SCHEMA_VERSION = 1
MOST_BYTES = 1 << 26


def shipped_presets() -> dict[str, Path]:
    """The presets that come with the bundled model, by name: what `--preset` takes besides a file."""
    folder = Path(str(files("steering") / "shipped_presets"))
    return {path.stem: path for path in sorted(folder.glob("*.json"))}


def save_preset(path: Path, steered: SteeredHost, spec: SteeringSpec, *, force: bool = False) -> None:
    """Write a spec with the model and the dictionaries that it is for.

    Args:
        path: The file.
        steered: The model.
        spec: What to keep.
        force: Whether an existing file may be replaced.

    Raises:
        ValueError: There is a file already, it cannot be written, or the spec does not fit the model.
    """
    if Path(path).exists() and not force:
        raise ValueError(f"preset {str(path)!r} exists already; give another name or add --force")
    steered.dictionaries.prepare([spec])
    record = {
        "schema_version": _SCHEMA_VERSION,
        "kind": KIND,
        "model": host_record(steered.host),
        "saes": recorded_saes(steered, _feature_sites(spec)),
        "edits": spec.to_json(),
    }
    with written_whole(Path(path)) as part:
        part.write_text(json.dumps(record, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def load_preset(path: Path, steered: SteeredHost) -> SteeringSpec:
    """Read a spec, if it is for this model and these dictionaries.

    Args:
        path: A file, or where there is none of that name one of `shipped_presets`.
        steered: The model.

    Raises:
        ValueError: The file is no preset, or it is one of another model or of other dictionaries.
    """
    record = _read(Path(path) if Path(path).exists() else shipped_presets().get(str(path), Path(path)))
    try:
        made_for, saes, edits = record["model"], {entry["site"]: entry for entry in record["saes"]}, record["edits"]
        _check_model(made_for, steered, path)
        spec = SteeringSpec.from_json(edits)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"preset {str(path)!r} is damaged ({error!r}), expected what --save-preset wrote") from None
    for site in _feature_sites(spec):
        made_along, present = (saes.get(str(site)) or {}).get("sha256"), steered.dictionaries.sae(site).content_hash
        if made_along != present:
            raise ValueError(
                f"preset {str(path)!r} steers features of another SAE at {site} ({str(made_along)[:12]}, here "
                f"{present[:12]}); give the SAEs that it was made with, by --saes"
            )
    return spec


def recorded_saes(steered: SteeredHost, sites: list[Site]) -> list[dict[str, Any]]:
    """Site, path and content hash of some dictionaries."""
    saes = {site: steered.dictionaries.sae(site) for site in sites}
    return [
        {"site": str(site), "path": None if sae.path is None else str(sae.path), "sha256": sae.content_hash}
        for site, sae in saes.items()
    ]


def _feature_sites(spec: SteeringSpec) -> list[Site]:
    return sorted({each.target.site for each in spec.interventions if isinstance(each.target, Feature)})


def _check_model(made_for: Mapping[str, Any], steered: SteeredHost, path: Path) -> None:
    """By fingerprint, or where a model has no files by name."""
    present = host_record(steered.host)
    key = "fingerprint" if present["fingerprint"] and made_for["fingerprint"] else "name"
    if made_for[key] != present[key]:
        described = [f"{each['name']!r} ({str(each['fingerprint'])[:12]})" for each in (made_for, present)]
        raise ValueError(f"preset {str(path)!r} is for model {described[0]}, not for {described[1]}; give that --model")


def _read(path: Path) -> dict[str, Any]:
    record = read_json(path, "preset", most_bytes=MOST_BYTES, expected="a file", remedy="save it again")
    if not isinstance(record, dict) or record.get("kind") != KIND or record.get("schema_version") != _SCHEMA_VERSION:
        raise ValueError(
            f"{str(path)!r} is no steering preset of version {_SCHEMA_VERSION}; save one with --save-preset"
        )
    return record
