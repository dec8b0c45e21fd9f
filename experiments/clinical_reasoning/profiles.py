"""The models that clinical reasoning is analysed in."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from circuits.workbench import open_workbench
from experiments.clinical_reasoning.clinic_pairs import ClinicPairs
from experiments.clinical_reasoning.pair_files import FilePairs
from experiments.clinical_reasoning.subject import Subject
from sae.bundle import find_bundle
from sae.host.host import HostModel

__all__ = ["PROFILES", "Profile", "profile_of"]

NOT_FOR_CARE = "Research tool, not for care. The vignettes are synthetic."


@dataclass(frozen=True)
class Profile:
    """One model and its pairs.

    Attributes:
        name: As in `--profile`.
        load: Opens the subject on a device.
        warnings: What a reader must know before any number.
        source: What its records depend on: model, dictionaries and pairs, in words.
        is_clinic: Whether the analyses that ask for more than pairs can be run.
    """

    name: str
    load: Callable[[str], Subject]
    warnings: tuple[str, ...]
    source: str
    is_clinic: bool = False


def profile_of(name: str, *, model: str | None = None, saes: str | None = None, pairs: Path | None = None) -> Profile:
    """The profile of that name.

    Args:
        name: As in `--profile`.
        model: Of the profile `own`: bundled name, directory or hub id.
        saes: Of the profile `own`: directory of SAEs or sae-lens release.
        pairs: Of the profile `own`: a file of pairs.

    Raises:
        ValueError: There is none, or it lacks what it needs, or was given what it does not take.
    """
    if name not in PROFILES:
        raise ValueError(f"profile {name!r} is unknown, expected one of: {', '.join(PROFILES)}")
    return PROFILES[name](model, saes, pairs)


def _clinic(model: str | None, saes: str | None, pairs: Path | None) -> Profile:
    if not model == saes == pairs:
        raise ValueError("profile 'clinic' brings its model, SAEs and pairs; give --profile own for others")
    return Profile(
        "clinic",
        _bundled_subject,
        (
            NOT_FOR_CARE,
            "The model is small and lives in a synthetic world in which the cause of each answer is known: that the "
            "tools find it here does not show that they would in a real model.",
        ),
        source="clinic",
        is_clinic=True,
    )


def _bundled_subject(device: str) -> Subject:
    bundle = find_bundle("clinic")
    if bundle is None:
        raise ValueError("the bundled model 'clinic' is not installed; reinstall domain-circuits")
    host = HostModel.load(bundle.name, device=device)
    broad = open_workbench(host, saes=bundle.saes("broad"), sites="resid_post.*")
    return Subject(bundle.name, open_workbench(host), ClinicPairs(host.tokenizer), broad, is_clinic=True)


def _own(model: str | None, saes: str | None, pairs: Path | None) -> Profile:
    if model is None or pairs is None:
        raise ValueError(
            "profile 'own' needs a model and pairs, expected --model MODEL --pairs FILE [--saes DIRECTORY]"
        )

    def load(device: str) -> Subject:
        workbench = open_workbench(model, saes=saes, device=device)
        return Subject(workbench.host.name, workbench, FilePairs(pairs, workbench.host.tokenizer))

    source = f"{model}, SAEs {saes or 'bundled'}, pairs {hashlib.sha256(pairs.read_bytes()).hexdigest()[:12]}"
    return Profile("own", load, (NOT_FOR_CARE, "Model and pairs are the user's own."), source)


PROFILES: dict[str, Callable[[str | None, str | None, Path | None], Profile]] = {"clinic": _clinic, "own": _own}
"""Each is called with model, SAEs and pairs."""
