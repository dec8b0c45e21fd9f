"""Absorption: a feature that stands for a parent concept stays silent on one child, whose own feature takes it over.

For a parent with its children, all at the last tokens of mentions:

1. a probe p for the parent is fitted on the host's activations: mentions of children against those of other concepts;
2. its main features are those that a sparse probe gains by: the one whose mean rises most, then every next one that
   raises the F1 on validation by at least 0.03;
3. a test mention on which the probe is right is absorbed if every main feature is silent and one other feature writes
   along p (cosine at least 0.025) and covers at least 0.4 of what x - b_dec holds along p.

Absorption as such needs the main features to be silent on one child more than on its siblings; both shares are given.
The same is measured on groups that are no hierarchy: with children of equal frequency from other parents, and with
children dealt out at random. Thresholds alone can make such gaps, and the controls show how large.

Source: the definition of Chanin et al. 2024 (arXiv 2409.14507) with the thresholds of SAEBench (Karvonen et al. 2025,
arXiv 2503.09532). Differs from them: concepts instead of first letters; the decoder's bias is taken off x; main
features fire more, not only differently, on the parent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from sae.annotated_text import AnnotatedText
from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.measurement import Measurement, bootstrap
from sae.probing.hierarchy import Group, groups_of, matched_groups, shuffled_groups
from sae.probing.logistic_probe import fit_probe, standardised
from sae.probing.main_features import main_features
from sae.probing.splits import TEST, TRAIN, VALIDATION
from sae.probing.told_mentions import ToldMentions, told_mentions
from sae.progress import progress

__all__ = ["Absorption", "ArmAbsorption", "PairAbsorption", "measure_absorption"]

MIN_COSINE, MIN_SHARE = 0.025, 0.4
MIN_TEST_MENTIONS = 4
MIN_TRAIN_MENTIONS = 8


@dataclass(frozen=True)
class PairAbsorption:
    """A child under a parent.

    Attributes:
        parent: The parent.
        child: The child.
        n: Test mentions of the child on which the probe is right.
        absorbed: Share of them that are absorbed.
        silent: Share of them on which all main features are silent.
        silent_on_siblings: The same of the parent's other children; None where the probe is right on none.
        main_features: The parent's.
        absorbing_feature: The feature that takes over most often; None where none does.
    """

    parent: str
    child: str
    n: int
    absorbed: float
    silent: float
    silent_on_siblings: float | None
    main_features: tuple[int, ...]
    absorbing_feature: int | None


@dataclass(frozen=True)
class ArmAbsorption:
    """All pairs of a kind of group.

    Attributes:
        n_groups: Parents.
        absorbed: Share of test mentions that are absorbed, over all groups.
        silent: Share on which all main features are silent.
        pairs: The most absorbed first.
    """

    n_groups: int
    absorbed: Measurement
    silent: Measurement
    pairs: tuple[PairAbsorption, ...]


@dataclass(frozen=True)
class Absorption:
    """A dictionary on a hierarchy, beside its two controls.

    Attributes:
        n_mentions: Of all concepts below a parent.
        hierarchy: The parents of the ontology.
        matched: Groups of equally frequent children of different other parents.
        shuffled: Groups of as many children, dealt out at random.
    """

    n_mentions: int
    hierarchy: ArmAbsorption
    matched: ArmAbsorption
    shuffled: ArmAbsorption

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class _GroupResult:
    """The test mentions of a group's children on which its probe is right."""

    group: Group
    concepts: np.ndarray
    documents: Int64[Tensor, " right"]
    is_silent: Bool[Tensor, " right"]
    absorber: Int64[Tensor, " right"]
    """The feature that takes over, or -1."""
    main_features: tuple[int, ...]


def measure_absorption(
    host: HostModel,
    sae: SAE,
    documents: Sequence[AnnotatedText],
    parents: Mapping[str, Sequence[str]],
    *,
    seed: int = 0,
) -> Absorption:
    """Measure absorption of every parent of an ontology whose children are told often enough.

    Args:
        host: The model.
        sae: The dictionary, which must know its site.
        documents: With their spans.
        parents: Direct parents of each concept.
        seed: Of the shuffled groups and of the resampled documents.

    Raises:
        ValueError: No parent has enough children that are told often enough.
    """
    known = sorted({span.concept for document in documents for span in document.concepts} & parents.keys())
    if not known:
        raise ValueError("no concept of the ontology is told by a document, expected the same names in both")
    mentions = told_mentions(host, sae, documents, known)
    counts = _train_counts(mentions, known)
    groups = groups_of(parents, [name for name in known if counts[name] >= MIN_TRAIN_MENTIONS])
    if not groups:
        raise ValueError(
            f"no parent has two children with {MIN_TRAIN_MENTIONS} training mentions each and two others beside them; "
            "give more documents or another ontology"
        )
    rng = np.random.default_rng(seed)
    arms = {
        "hierarchy": groups,
        "matched": matched_groups(groups, counts),
        "shuffled": shuffled_groups(groups, rng),
    }
    n_documents = int(mentions.documents.max()) + 1
    return Absorption(
        n_mentions=len(mentions.concepts),
        **{name: _arm(sae, mentions, arm, n_documents, seed) for name, arm in arms.items()},
    )


def _train_counts(mentions: ToldMentions, concepts: Sequence[str]) -> dict[str, int]:
    train = mentions.concepts[(mentions.splits == TRAIN).numpy()]
    return {concept: int((train == concept).sum()) for concept in concepts}


def _arm(sae: SAE, mentions: ToldMentions, groups: Sequence[Group], n_documents: int, seed: int) -> ArmAbsorption:
    found = [_measure(sae, mentions, group) for group in progress(groups, "absorption", unit="parent")]
    results = [result for result in found if result is not None]
    pairs = [pair for result in results for pair in _pairs(result)]
    documents = torch.cat([torch.empty(0, dtype=torch.long), *(result.documents for result in results)])
    absorbed = torch.cat([torch.empty(0, dtype=torch.bool), *(result.absorber >= 0 for result in results)])
    silent = torch.cat([torch.empty(0, dtype=torch.bool), *(result.is_silent for result in results)])
    return ArmAbsorption(
        n_groups=len(results),
        absorbed=_share(absorbed, documents, n_documents, seed),
        silent=_share(silent, documents, n_documents, seed),
        pairs=tuple(sorted(pairs, key=lambda pair: -pair.absorbed)),
    )


def _share(
    holds: Bool[Tensor, " mentions"], documents: Int64[Tensor, " mentions"], n_documents: int, seed: int
) -> Measurement:
    """Share of mentions, with an interval over the documents that have some."""
    n_holds = torch.bincount(documents, weights=holds.double(), minlength=n_documents)
    n = torch.bincount(documents, minlength=n_documents).double()
    n_holds, n = n_holds[n > 0], n[n > 0]
    return bootstrap(lambda counts: counts @ n_holds / (counts @ n), len(n), seed=seed, higher_is_better=False)


def _measure(sae: SAE, mentions: ToldMentions, group: Group) -> _GroupResult | None:
    """None where a split lacks mentions of the group or of the others."""
    is_child = np.isin(mentions.concepts, group.children)
    is_mine = is_child | np.isin(mentions.concepts, group.others)
    rows = [np.flatnonzero(is_mine & (mentions.splits == split).numpy()) for split in (TRAIN, VALIDATION, TEST)]
    truth = [is_child[part] for part in rows]
    if any(part.all() or not part.any() for part in truth):
        return None
    x = [mentions.activations[part].numpy() for part in rows]
    to_units = standardised(x[TRAIN])
    probe = fit_probe(to_units(x[TRAIN]), truth[TRAIN], to_units(x[VALIDATION]), truth[VALIDATION])
    direction = torch.from_numpy(probe.model.coef_[0] / to_units.scale).float()
    features = [mentions.features[part] for part in rows]
    main = main_features([part.numpy() for part in features], truth)
    right = torch.from_numpy(truth[TEST] & (probe.scores(to_units(x[TEST])) > 0))
    is_silent = (features[TEST][right][:, list(main)] == 0).all(1)
    taken = _absorbers(sae, mentions.activations[rows[TEST]][right], features[TEST][right], direction)
    return _GroupResult(
        group=group,
        concepts=mentions.concepts[rows[TEST]][right.numpy()],
        documents=mentions.documents[rows[TEST]][right],
        is_silent=is_silent,
        absorber=torch.where(is_silent, taken, -1),
        main_features=main,
    )


def _absorbers(
    sae: SAE,
    x: Float[Tensor, "mentions d_model"],
    features: Float[Tensor, "mentions d_sae"],
    direction: Float[Tensor, " d_model"],
) -> Int64[Tensor, " mentions"]:
    """The feature that writes most along the probe, where it covers enough of what is there; else -1."""
    unit = direction / direction.norm()
    decoder = sae.W_dec.cpu()
    written = features * (decoder @ unit)
    most, feature = written.max(1)
    held = (x - sae.b_dec.cpu()) @ unit
    cosine = (decoder @ unit / decoder.norm(dim=1).clamp(min=1e-12))[feature]
    covers = (held > 0) & (most >= MIN_SHARE * held) & (cosine >= MIN_COSINE)
    return torch.where(covers, feature, -1)


def _pairs(result: _GroupResult) -> list[PairAbsorption]:
    found = []
    for child in result.group.children:
        own = torch.from_numpy(result.concepts == child)
        if int(own.sum()) < MIN_TEST_MENTIONS:
            continue
        absorbers = result.absorber[own]
        taken = absorbers[absorbers >= 0]
        siblings = result.is_silent[~own]
        found.append(
            PairAbsorption(
                parent=result.group.parent,
                child=child,
                n=int(own.sum()),
                absorbed=float((absorbers >= 0).double().mean()),
                silent=float(result.is_silent[own].double().mean()),
                silent_on_siblings=float(siblings.double().mean()) if len(siblings) else None,
                main_features=result.main_features,
                absorbing_feature=int(taken.mode().values) if len(taken) else None,
            )
        )
    return found
