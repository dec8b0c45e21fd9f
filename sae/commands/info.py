"""`sae info`: what an SAE directory, an activation store or a training run holds."""

from pathlib import Path
from typing import Any

import click

from sae.command_line import emit_json, json_option
from sae.commands.options import result

__all__ = ["info"]

METRICS = "metrics.jsonl"
CURVES = "curves.png"


@click.command(epilog="Example:  sae info sae/bundles/clinic/clinical/resid_post.2")
@click.argument("path", type=click.Path(path_type=Path))
@json_option
def info(path: Path, as_json: bool) -> None:
    """Say what a directory holds: an SAE, an activation store, or a training run, whose curves it draws."""
    if (path / METRICS).is_file():
        facts = _run_facts(path)
    elif (path / "manifest.json").is_file():
        facts = _store_facts(path)
    else:
        facts = _sae_facts(path)
    if as_json:
        emit_json(result("info", {"path": path}, path=str(path), **facts))
        return
    ours = facts.pop("metadata", {}).get("domain_circuits", {})
    last = facts.pop("last", {})
    for name, value in [("path", path), *facts.items(), *ours.items()]:
        click.echo(f"{name}: {value}")
    for name, record in last.items():
        click.echo(f"{name}: {_progress(record)}")


def _sae_facts(path: Path) -> dict[str, Any]:
    from sae.dictionary.autoencoder import SAE
    from sae.dictionary.labels import load_labels

    sae = SAE.load(path)
    return {
        "site": None if sae.site is None else str(sae.site),
        "d_model": sae.d_model,
        "d_sae": sae.d_sae,
        "top_k": sae.top_k,
        "threshold": {"lowest": sae.threshold.min().item(), "highest": sae.threshold.max().item()},
        "labelled_features": len(load_labels(path)),
        "sha256": sae.content_hash,
        "metadata": sae.metadata,
    }


def _store_facts(path: Path) -> dict[str, Any]:
    from sae.activations.store.store import ActivationStore

    store = ActivationStore.open(path)
    return {
        "sites": [str(site) for site in store.sites],
        "d_model": store.d_model,
        "tokens": store.n_tokens,
        "missing": store.missing,
        "sha256": store.content_hash,
        "configuration": store.configuration.to_json(),
    }


def _run_facts(path: Path) -> dict[str, Any]:
    from sae.inspection.curves import draw_curves, read_metrics

    metrics = read_metrics(path / METRICS)
    draw_curves(path, path / CURVES)
    return {"curves": str(path / CURVES), "last": {name: records[-1] for name, records in metrics.items() if records}}


def _progress(record: dict[str, Any]) -> str:
    """The last line of a run's metrics for people."""
    return (
        f"step {record['step']}, {record['tokens']:,} tokens, L0 {record['l0']:.2f} (target {record['l0_target']:g}), "
        f"explained variance {1 - record['fvu']:.3f}, {record['dead_share']:.1%} dead, {record['kernel']} kernel"
    )
