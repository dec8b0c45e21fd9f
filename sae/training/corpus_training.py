"""From a corpus or a store to trained SAEs on disk, judged on held-out tokens."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sae.dictionary.autoencoder import SAE
from sae.dictionary.formats.stored import RECORD
from sae.dictionary.host_record import host_record
from sae.evaluation.fidelity import measure_fidelity
from sae.evaluation.spliced_loss import measure_spliced_loss
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.training.checkpoints import check_same_configuration
from sae.training.corpus_source import Corpus
from sae.training.finetuning import spliced_trainer
from sae.training.plan import TrainingPlan
from sae.training.sae_trainer import TrainingGoal
from sae.training.trainer import TrainedDictionary, train, trainer_for
from sae.written_whole import written_whole

__all__ = ["TrainedSAE", "finished_result", "train_to_disk"]

N_LOSS_DOCUMENTS = 100
CALIBRATED_ON, JUDGED_ON = slice(0, None, 2), slice(1, None, 2)
"""Held-out tokens in turn: thresholds are not judged on what they were set on."""
RESULT = "training.json"


@dataclass(frozen=True)
class TrainedSAE:
    """One finished SAE and its figures on held-out tokens.

    Attributes:
        path: Its directory.
        site: Where it belongs.
        d_sae: Its width.
        l0_target: The L0 that was wanted.
        l0: On the judged half of the held-out tokens, as `ev`.
        ev: Explained variance; None where activations do not vary.
        delta_ce: Nats; None without a host to splice it into.
        dead: Share of the features that fire on no held-out token, of both halves: thresholds are set by L0 on one of
            them, which does not tell features apart, and a rare feature needs many tokens to be seen at all.
        dead_tokens: How many tokens that are; a feature that fires once in so many is missed with probability 0.37.
        tokens: Tokens it was trained on.
        tokens_per_second: Of all dictionaries together.
    """

    path: Path
    site: Site
    d_sae: int
    l0_target: float
    l0: float
    ev: float | None
    delta_ce: float | None
    dead: float
    dead_tokens: int
    tokens: int
    tokens_per_second: float | None

    def to_json(self) -> dict[str, Any]:
        """The record that `sae train --json` prints; `ev_answer` needs a corpus with known answers."""
        return {
            "path": str(self.path),
            "site": str(self.site),
            "d_sae": self.d_sae,
            "l0_target": self.l0_target,
            "l0": self.l0,
            "ev": self.ev,
            "ev_answer": None,
            "delta_ce": self.delta_ce,
            "dead": self.dead,
            "dead_tokens": self.dead_tokens,
            "tokens": self.tokens,
            "tokens_per_second": self.tokens_per_second,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any], directory: Path) -> "TrainedSAE":
        """Out of the result file in `directory`."""
        fields = {name: value for name, value in record.items() if name in cls.__dataclass_fields__}
        path, site = directory / record["path"], Site.parse(record["site"])
        return cls(**{**fields, "path": path, "site": site})


def train_to_disk(
    plan: TrainingPlan,
    corpus: Corpus,
    output: Path,
    *,
    host: HostModel | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
) -> list[TrainedSAE]:
    """Train what is planned in one pass and write one SAE directory each below `output`, beside checkpoint and metrics.

    Args:
        plan: What to train.
        corpus: On what.
        output: Made if missing.
        host: The model; without it nothing is spliced and the record names no host. Its device is trained on.
        checkpoint_every: As in `train`.
        resume: As in `train`.

    Raises:
        ValueError: As in `train`.
        SystemExit: As in `train`.
    """
    if plan.kl_weight is not None and host is None:
        raise ValueError(f"kl_weight is {plan.kl_weight}, which needs the host; give the model or leave the KL out")
    source = corpus.source
    ours = {"corpus": corpus.name} | ({} if host is None else {"host": host_record(host)})
    metadata: dict[str, Any] = {"dataset_path": corpus.name, RECORD: ours}
    if host is not None:
        metadata |= {"model_name": host.name, "context_size": host.context_length}
    goals = plan.goals(d_model=source.d_model, metadata=metadata)
    trained = train(
        source,
        goals,
        directory=output,
        checkpoint_every=checkpoint_every,
        resume=resume,
        device="cpu" if host is None else host.device,
        calibration_rows=CALIBRATED_ON,
        make_trainer=trainer_for if plan.kl_weight is None or host is None else spliced_trainer(host),
    )
    rows = [_write(goal, trained[goal.name], corpus, host, output) for goal in goals]
    _write_result(rows, goals, output)
    return rows


def finished_result(plan: TrainingPlan, output: Path, *, d_model: int) -> list[TrainedSAE] | None:
    """What a run in `output` ended with, so that it need not even be fed again; None where it has not ended.

    Raises:
        ValueError: The run was another one.
    """
    path = output / RESULT
    if not path.is_file():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    present = {goal.name: goal.to_json() for goal in plan.goals(d_model=d_model, metadata={})}
    check_same_configuration(record["configuration"], present, source=str(output))
    return [TrainedSAE.from_json(row, output) for row in record["saes"]]


def _write(
    goal: TrainingGoal, trained: TrainedDictionary, corpus: Corpus, host: HostModel | None, output: Path
) -> TrainedSAE:
    """Save one dictionary and judge what was saved, rounded as it is on disk."""
    trained.sae.save(output / goal.name)
    saved = trained.sae.rounded()
    held_out = corpus.source.held_out(goal.site)
    fidelity = measure_fidelity(saved, held_out[JUDGED_ON])
    everywhere = measure_fidelity(saved, held_out)
    return TrainedSAE(
        path=output / goal.name,
        site=goal.site,
        d_sae=goal.config.d_sae,
        l0_target=goal.config.wanted_l0,
        l0=fidelity.l0,
        ev=fidelity.explained_variance,
        delta_ce=None if host is None else _delta_ce(host, corpus, goal.site, saved),
        dead=everywhere.dead_share,
        dead_tokens=everywhere.n_tokens,
        tokens=trained.record.n_tokens,
        tokens_per_second=trained.record.tokens_per_second,
    )


def _delta_ce(host: HostModel, corpus: Corpus, site: Site, sae: SAE) -> float:
    return measure_spliced_loss(host, corpus.documents[:N_LOSS_DOCUMENTS], {site: sae}).delta_ce


def _write_result(rows: Sequence[TrainedSAE], goals: Sequence[TrainingGoal], output: Path) -> None:
    """The file that says that the run has ended; its paths begin at its own directory."""
    record = {
        "configuration": {goal.name: goal.to_json() for goal in goals},
        "saes": [{**row.to_json(), "path": row.path.name} for row in rows],
    }
    with written_whole(output / RESULT) as part:
        part.write_text(json.dumps(record, indent=1, allow_nan=False), encoding="utf-8")
