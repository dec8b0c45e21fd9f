"""`circuits labels`: names of features, from a file into a circuit or beside dictionaries, and back."""

from pathlib import Path
from typing import Any

import click

from circuits.commands.circuit_directory import write_circuit_directory
from sae.command_line import SCHEMA_VERSION, FiniteFloat, Program, emit_json, json_option

__all__ = ["labels"]

IMPORT_EXAMPLE = "circuits labels import runs/first labels.jsonl --min-score 0.6"
EXPORT_EXAMPLE = "circuits labels export runs/first labels.jsonl"

_min_score = click.option(
    "--min-score", type=FiniteFloat(0.0, 1.0), default=0.5, help="Labels that fit worse than this, as F1, are left out."
)


@click.group(cls=Program, epilog=f"Example:  {IMPORT_EXAMPLE}")
def labels() -> None:
    """Import and export the names of features."""


@click.command("import", epilog=f"Example:  {IMPORT_EXAMPLE}")
@click.argument("circuit_or_saes", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@_min_score
@json_option
def import_labels(circuit_or_saes: Path, file: Path, min_score: float, as_json: bool) -> None:
    """Name the features of a circuit, or of an SAE directory or a directory of them.

    FILE holds lines of JSON with site, feature, label and score, or is a labels.json, a directory of SAEs with theirs,
    or what `sae features --json` printed. A circuit's page and picture are drawn again.
    """
    from circuits.labels.label_files import read_labels

    found = read_labels(file)
    name = _label_circuit if _is_circuit(circuit_or_saes) else _label_saes
    n_named, n_features = name(circuit_or_saes, found, file, min_score)
    n_below = sum(label.f1 < min_score for label in found.values())
    if as_json:
        counts = {"labels": len(found), "below_min_score": n_below, "named": n_named, "features": n_features}
        _emit("import", file=str(file), min_score=min_score, **counts)
        return
    of = "" if n_features is None else f" of the circuit's {n_features}"
    click.echo(
        f"{len(found)} labels in {file}, {n_below} with a score below {min_score:g}; {n_named}{of} features named"
    )


@click.command("export", epilog=f"Example:  {EXPORT_EXAMPLE}")
@click.argument("circuit_or_saes", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@_min_score
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@json_option
def export_labels(circuit_or_saes: Path, file: Path, min_score: float, force: bool, as_json: bool) -> None:
    """Write the names of a circuit's or of SAEs' features as lines of JSON."""
    if file.exists() and not force:
        raise ValueError(f"output {str(file)!r} exists already; give another FILE or add --force")
    from circuits.labels.label_files import read_labels, write_labels

    if _is_circuit(circuit_or_saes):
        from circuits.graph.circuit import Circuit
        from circuits.labels.naming import circuit_labels

        found = circuit_labels(Circuit.load(circuit_or_saes))
    else:
        found = read_labels(circuit_or_saes)
    kept = {place: label for place, label in found.items() if label.f1 >= min_score}
    write_labels(kept, file)
    if as_json:
        _emit("export", file=str(file), min_score=min_score, labels=len(kept))
    else:
        click.echo(f"{len(kept)} labels written to {file}")


def _is_circuit(path: Path) -> bool:
    return path.is_file() or (path / "circuit.json").is_file()


def _label_circuit(path: Path, found: Any, file: Path, min_score: float) -> tuple[int, int]:
    import hashlib

    from circuits.graph.circuit import Circuit
    from circuits.labels.naming import label_circuit

    source = {"source": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None}
    circuit = label_circuit(Circuit.load(path), found, min_score=min_score, source=source)
    write_circuit_directory(circuit, path if path.is_dir() else path.parent)
    features = {(node.site, node.feature): node for node in circuit.features}
    named = [place for place, node in features.items() if place in found and node.label is not None]
    return len(named), len(features)


def _label_saes(path: Path, found: Any, file: Path, min_score: float) -> tuple[int, None]:
    from circuits.labels.label_files import sae_directories
    from circuits.labels.naming import label_saes

    kept = {place: label for place, label in found.items() if label.f1 >= min_score}
    counts = label_saes(sae_directories(path), kept, source=f"{file.name}, scores of at least {min_score:g}")
    return sum(counts.values()), None


def _emit(command: str, **fields: Any) -> None:
    emit_json({"schema_version": SCHEMA_VERSION, "command": f"circuits labels {command}", **fields})


for command in (import_labels, export_labels):
    labels.add_command(command)
