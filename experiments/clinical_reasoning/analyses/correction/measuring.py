"""How many wrong answers each policy corrects, and how many right ones it disrupts."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from circuits.workbench import Workbench
from experiments.clinical_reasoning.analyses.correction.answered_cases import AnsweredCases
from experiments.clinical_reasoning.analyses.correction.policies import glossary_hint, organ_hint
from experiments.clinical_reasoning.analyses.correction.steering_policies import Oracle, Restoring
from experiments.clinical_reasoning.analyses.correction.told_cases import ToldCase, told_cases
from experiments.clinical_reasoning.subject import Subject
from sae.host.sites import Site

__all__ = ["measure"]

STRENGTHS = (0.5, 1.0, 2.0, 4.0)
"""That are tried, in usual activations of a feature."""
POPULATIONS = ("unseen synonyms", "withheld combinations")
Policy = Restoring | Oracle


def measure(subject: Subject, *, size: int, seed: int) -> dict[str, Any]:
    """What the analysis shows, see `AnalysisCode`.

    Args:
        subject: The model; of the clinic.
        size: Cases that policies are settled on, and of each population as many that are reported.
        seed: Of everything that is drawn.
    """
    host = subject.workbench.host
    chosen_on = AnsweredCases.asked(host, told_cases("unseen synonyms", size, split="validation", seed=seed))
    seen = told_cases("seen", size, split="validation", seed=seed)
    restoring, restore_record = _settled(subject.workbench, _early(subject.workbench), Restoring, chosen_on, seen)
    oracle, oracle_record = _settled(subject.workbench, _late(subject.workbench), Oracle, chosen_on, seen)
    broad, broad_record = None, None
    if subject.broad is not None:
        broad, broad_record = _settled(subject.broad, _early(subject.broad), Restoring, chosen_on, seen)
    populations = {}
    for name in POPULATIONS:
        cases = AnsweredCases.asked(host, told_cases(name, size, split="test", seed=seed))
        rng = random.Random(f"nulls {name} {seed}")
        populations[name] = _reported(cases, restoring, restore_record, oracle, oracle_record, rng)
        if broad is not None and broad_record is not None:
            after = broad.run(cases, broad.specs(cases.told, broad_record["strength"]))
            populations[name]["policies"]["restore, broad dictionary"] = cases.outcome(after)
    return {"restore": restore_record, "oracle": oracle_record, "broad": broad_record, "populations": populations}


def _early(workbench: Workbench) -> list[Site]:
    """The first half of the sites, where findings are told."""
    sites = list(workbench.dictionaries)
    return sites[: max(1, len(sites) // 2)]


def _late(workbench: Workbench) -> list[Site]:
    """The others, where diagnoses stand."""
    sites = list(workbench.dictionaries)
    return sites[max(1, len(sites) // 2) :] or sites


def _settled(
    workbench: Workbench, sites: Sequence[Site], kind: Any, cases: AnsweredCases, seen: Sequence[ToldCase]
) -> tuple[Any, dict[str, Any]]:
    """The site and strength with the largest surplus of corrected over disrupted cases, the weaker where equal.

    Returns:
        The policy there, and what was tried.
    """
    tried: list[dict[str, Any]] = []
    policies = {site: kind.at(workbench, site, seen) for site in sites}
    for site, policy in policies.items():
        for strength in STRENGTHS:
            after = policy.run(cases, policy.specs(cases.told, strength))
            corrected, disrupted = cases.counts(after)
            kl = after.kl(cases.before)[cases.right].mean().item()
            tried.append(
                {"site": str(site), "strength": strength, "corrected": corrected, "disrupted": disrupted, "kl": kl}
            )
    best = max(tried, key=lambda row: (row["corrected"] - row["disrupted"], -row["strength"]))
    site = Site.parse(best["site"])
    policy = policies[site]
    return policy, {
        "site": str(site),
        "strength": best["strength"],
        "n_concepts": len(policy.concepts.features),
        "n_cases": len(cases.told),
        "n_wrong": int((~cases.right).sum()),
        "tried": tried,
    }


def _strength_of_kl(record: Mapping[str, Any], kl: float) -> float:
    """The tried strength, at the settled site, whose KL on selection cases is nearest to a hint's."""
    own = [row for row in record["tried"] if row["site"] == record["site"]]
    nearest = min(own, key=lambda row: abs(row["kl"] - kl))
    return float(nearest["strength"])


def _reported(
    cases: AnsweredCases,
    restoring: Restoring,
    restore_record: Mapping[str, Any],
    oracle: Oracle,
    oracle_record: Mapping[str, Any],
    rng: random.Random,
) -> dict[str, Any]:
    """Every policy, its nulls and its hint on the same cases."""
    told, missed = cases.told, restoring.missed(cases.told)
    strength, force = restore_record["strength"], oracle_record["strength"]
    hints = {
        "glossary hint": cases.hinted([glossary_hint(each, own) for each, own in zip(told, missed, strict=True)]),
        "organ hint": cases.hinted([organ_hint(each) for each in told]),
    }
    kls = {name: after.kl(cases.before)[cases.right].mean().item() for name, after in hints.items()}
    gentle = {
        "restore": _strength_of_kl(restore_record, kls["glossary hint"]),
        "oracle": _strength_of_kl(oracle_record, kls["organ hint"]),
    }
    runs = {
        "restore": restoring.run(cases, restoring.specs(told, strength)),
        "restore at the hint's KL": restoring.run(cases, restoring.specs(told, gentle["restore"])),
        "restore, other finding": restoring.run(cases, restoring.specs(told, strength, null="concept", rng=rng)),
        "restore, random latents": restoring.run(cases, restoring.specs(told, strength, null="latent", rng=rng)),
        "oracle": oracle.run(cases, oracle.specs(told, force)),
        "oracle at the hint's KL": oracle.run(cases, oracle.specs(told, gentle["oracle"])),
        "oracle, other diagnosis": oracle.run(cases, oracle.specs(told, force, null="concept", rng=rng)),
        "oracle, random latents": oracle.run(cases, oracle.specs(told, force, null="latent", rng=rng)),
        "seen words": cases.hinted([each.in_seen_words.prompt for each in told]),
        **hints,
    }
    return {
        "template": [each.template for each in told],
        "before": cases.right.int().tolist(),
        "n_missed": [len(own) for own in missed],
        "equal_kl_strength": gentle,
        "policies": {name: cases.outcome(after) for name, after in runs.items()},
    }
