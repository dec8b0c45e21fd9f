"""Makes the bundle from nothing: host, SAEs, labels, references, record. A build that was cut short continues.

1. `host`: tokenizer, broad stage, clinical stage (`host_training`).
2. `saes`: one per site and text (`sae_building`).
3. `labels`: names of features, chosen and scored on validation documents.
4. `references`: prompts that a lone prompt is compared with.
5. everything copied to its final directory with a manifest.
6. `check`: the bars, measured on test cases, beside the rest in `check.json`.
"""

import json
import random
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from circuits.prompts.references import BUNDLED_REFERENCES, ReferencePool
from experiments.clinic.check import CheckReport, check_bundle
from experiments.clinic.host_config import HostTrainingConfig
from experiments.clinic.host_training import train_host
from experiments.clinic.labelled_text import LabelledText, label_documents, naming_documents, site_activations
from experiments.clinic.labels import feature_labels
from experiments.clinic.sae_building import BUNDLE_NAME, SAMPLING, TEXTS, SAERecipe, train_bundle_saes
from experiments.clinic.vignettes import vignette_case
from sae.bundle import write_manifest
from sae.command_line import Stopwatch, versions
from sae.dictionary.autoencoder import SAE
from sae.dictionary.labels import LABELS_FILE, save_labels
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.progress import progress

__all__ = ["build_bundle", "draw_references"]

N_REFERENCES = 20_000
SECONDS_FILE = "seconds.json"
LABEL_SOURCE = (
    "concept with the best F1 on half of the validation documents, scored on the other half; mentions are scored once, "
    "by their largest activation"
)


def build_bundle(
    work_dir: Path,
    output: Path,
    *,
    host_config: HostTrainingConfig | None = None,
    recipe: SAERecipe | None = None,
    workers: int = 2,
    seed: int = 0,
) -> CheckReport:
    """Build the bundle in `work_dir` and copy it to `output`.

    Args:
        work_dir: Keeps what each stage made; finished stages are not done again.
        output: The bundle's directory; replaced when all stages are done.
        host_config: Settings of the host.
        recipe: Settings of the SAEs.
        workers: Processes that train SAEs side by side.
        seed: Of everything.

    Returns:
        The bars, measured on the new bundle.
    """
    host_config, recipe = host_config or HostTrainingConfig(), recipe or SAERecipe(seed=seed)
    watch = Stopwatch()
    watch.seconds.update(_earlier_seconds(work_dir))
    with watch.stage("host"):
        train_host(work_dir, host_config, seed=seed)
    host = HostModel.load(str(work_dir / "host"))
    with watch.stage("saes"):
        train_bundle_saes(work_dir, host, recipe, workers=workers)
    with watch.stage("labels"):
        _label_features(work_dir, host)
    _write_json(work_dir / SECONDS_FILE, watch.seconds)
    references = draw_references(host, seed)
    record = {
        "name": BUNDLE_NAME,
        "seed": seed,
        "host": asdict(host_config),
        "host_training": json.loads((work_dir / "host_training.json").read_text("utf-8")),
        "saes": {**asdict(recipe), "sampling": SAMPLING},
        "seconds": watch.seconds,
        "versions": versions(),
    }
    _assemble(work_dir, output, references, record)
    report = check_bundle(host, output / TEXTS[0], references)
    _write_json(output / "check.json", report.to_json())
    write_manifest(output)
    return report


def _earlier_seconds(work_dir: Path) -> dict[str, float]:
    """What the stages of a build that was cut short took so far."""
    path = work_dir / SECONDS_FILE
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def draw_references(host: HostModel, seed: int) -> ReferencePool:
    """Validation vignettes up to their question, of many lengths.

    There are many because the nearest few are used: the nearer they are, the fewer features differ for no reason.
    """
    rng = random.Random(f"references {seed}")
    prompts = (vignette_case(rng, split="validation").prompt for _ in range(N_REFERENCES))
    return ReferencePool.of([host.tokenise(p) for p in progress(prompts, "references", unit="prompt")])


def _label_features(work_dir: Path, host: HostModel) -> None:
    """Write `labels.json` beside each SAE that has none."""
    directories = [path for text in TEXTS for path in sorted((work_dir / text).iterdir())]
    missing = [path for path in directories if not (path / LABELS_FILE).is_file() and not path.name.startswith(".")]
    if not missing:
        return
    text = label_documents(host, naming_documents())
    # SAEs of one site read the same activations, whichever text they are from: capture those once.
    for site_name in progress(sorted({path.name for path in missing}), "labelling", unit="site"):
        _label_site(Site.parse(site_name), [path for path in missing if path.name == site_name], host, text)


def _label_site(site: Site, directories: list[Path], host: HostModel, text: LabelledText) -> None:
    activations = site_activations(host, text, [site])[site]
    for directory in directories:
        labels = feature_labels(text, SAE.load(directory).encode(activations))
        save_labels(directory, labels, source=LABEL_SOURCE)


def _assemble(work_dir: Path, output: Path, references: ReferencePool, record: Mapping[str, Any]) -> None:
    part = output.with_name(f".{output.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name in ("host", "host-broad", *TEXTS):
        shutil.copytree(work_dir / name, part / name)
    references.save(part / BUNDLED_REFERENCES)
    _write_json(part / "build.json", record)
    write_manifest(part)
    shutil.rmtree(output, ignore_errors=True)
    part.rename(output)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
