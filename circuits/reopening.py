"""From a circuit on disk back to the model, the dictionaries and the runs that it was found on."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from circuits.graph.circuit import Circuit
from circuits.question import Question
from circuits.runs.ensemble import Ensemble
from circuits.runs.node_set import NodeSet
from circuits.workbench import Workbench, open_workbench
from sae.dictionary.autoencoder import SAE
from sae.dictionary.transcoder import load_dictionary
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = ["OpenCircuit", "node_set", "reopen"]


@dataclass(frozen=True, eq=False)
class OpenCircuit:
    """A circuit with everything to run it again."""

    circuit: Circuit
    bench: Workbench
    question: Question
    ensemble: Ensemble


def reopen(
    circuit: Circuit,
    *,
    workbench: Workbench | None = None,
    model: str | Path | HostModel | None = None,
    device: str | None = None,
) -> OpenCircuit:
    """Load what a circuit was found on, and run its prompts and their baseline again.

    Args:
        circuit: As `circuits discover` wrote it.
        workbench: The model with its dictionaries, if it is loaded already.
        model: The model, where it is not where the circuit says.
        device: Where it runs; by default where it did.

    Raises:
        ValueError: The record lacks something, or what it names is gone or was altered; the message names it.
    """
    config = _entry(circuit.provenance, "config", circuit)
    question = _question(circuit, config)
    bench = workbench or _workbench(circuit, config, model, device)
    ensemble, _ = question.runs(bench, baseline=circuit.baseline, seed=_entry(circuit.provenance, "seed", circuit))
    if ensemble.places.names != tuple(circuit.tokens):
        raise ValueError(f"model {bench.host.name!r} reads other tokens than the circuit has; give the circuit's model")
    return OpenCircuit(circuit, bench, question, ensemble)


def node_set(circuit: Circuit) -> NodeSet:
    """The circuit's features as what masked runs keep."""

    nodes = {}
    for site in circuit.sites:
        here = [node for node in circuit.features if node.site == site]
        if here:
            positions, features = [node.position for node in here], [node.feature for node in here]
            nodes[site] = (torch.tensor(positions), torch.tensor(features))
    return NodeSet(nodes)


def _question(circuit: Circuit, config: Mapping[str, Any]) -> Question:
    reference = config.get("reference")
    common: dict[str, Any] = {
        "reference": None if reference is None else Path(reference),
        "chat": bool(config.get("chat")),
    }
    pairs = config.get("pairs")
    if pairs is None:
        return Question(
            prompt=circuit.prompt,
            contrast=config.get("contrast"),
            target=circuit.target,
            foil=circuit.foil,
            **common,
        )
    path = Path(pairs["file"])
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != pairs["sha256"]:
        raise ValueError(f"pairs file {str(path)!r} is gone or was altered since the circuit was found; restore it")
    return Question(pairs=path, keep_wrong=pairs["keep_wrong"], **common)


def _workbench(
    circuit: Circuit, config: Mapping[str, Any], model: str | Path | HostModel | None, device: str | None
) -> Workbench:
    named = _entry(circuit.provenance, "model", circuit)
    options = {
        "device": device or config.get("device", "auto"),
        "dtype": config.get("dtype", "float32"),
        "basis": config.get("basis", "features"),
        "sites": ",".join(config["sites"]),
    }
    saes = {Site.parse(entry["site"]): _sae(entry) for entry in _entry(circuit.provenance, "saes", circuit)}
    return open_workbench(model or named["name"], saes=saes or None, **options)


def _sae(entry: Mapping[str, Any]) -> SAE:
    path = entry["path"]
    if path is None:
        raise ValueError(f"the circuit's SAE at {entry['site']} was never saved; discover again with --saes DIRECTORY")
    sae = load_dictionary(path)
    if sae.content_hash != entry["sha256"]:
        raise ValueError(f"SAE {path!r} was altered since the circuit was found; restore it, or discover again")
    return sae


def _entry(record: Mapping[str, Any], key: str, circuit: Circuit) -> Any:
    if key not in record:
        raise ValueError(f"the circuit of {circuit.prompt!r} has no entry {key!r}, expected one of `circuits discover`")
    return record[key]
