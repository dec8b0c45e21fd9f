"""From a corpus or a store to trained SAEs on disk, judged on held-out tokens."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from sae.corpus_knowledge import answer_prompts
from sae.dictionary.autoencoder import SAE
from sae.dictionary.formats.stored import RECORD
from sae.dictionary.host_record import host_record
from sae.evaluation.answers import AnswerFidelity, answer_activations, measure_at_answers
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
N_ANSWERS = 400
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
        ev_answer: Explained variance where answers are due, see `sae.evaluation.answers`; None without a host, or where
            the corpus does not know where that is.
        ev_answer_interval: 95 % of it.
        n_answers: Answers that it is over; 0 where it is None.
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
    ev_answer: float | None = None
    ev_answer_interval: tuple[float, float] | None = None
    n_answers: int = 0

    def to_json(self) -> dict[str, Any]:
        """The record that `sae train --json` prints."""
        return {
            "path": str(self.path),
            "site": str(self.site),
            "d_sae": self.d_sae,
            "l0_target": self.l0_target,
            "l0": self.l0,
            "ev": self.ev,
            "ev_answer": self.ev_answer,
            "ev_answer_interval": None if self.ev_answer_interval is None else list(self.ev_answer_interval),
            "n_answers": self.n_answers,
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
        if (interval := fields.get("ev_answer_interval")) is not None:
            fields["ev_answer_interval"] = tuple(interval)
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
    judge = _Judge.of(host, corpus, plan)
    rows = [_write(goal, trained[goal.name], judge, output) for goal in goals]
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


@dataclass(frozen=True, eq=False)
class _Judge:
    """What finished dictionaries are measured on.

    Attributes:
        host: None where nothing can be spliced.
        corpus: Its held-out tokens and documents.
        at_answers: Activations where answers are predicted; none of a corpus that does not know.
    """

    host: HostModel | None
    corpus: Corpus
    at_answers: Mapping[Site, Float[Tensor, "answers d_model"]]

    @classmethod
    def of(cls, host: HostModel | None, corpus: Corpus, plan: TrainingPlan) -> "_Judge":
        """Runs the prompts of the corpus that ask for answers, once for all dictionaries."""
        if host is None:
            return cls(None, corpus, {})
        prompts = answer_prompts(corpus.name, seed=plan.seed)
        return cls(host, corpus, answer_activations(host, prompts, plan.sites, n_prompts=N_ANSWERS))

    def delta_ce(self, site: Site, sae: SAE) -> float | None:
        """Nats that the spliced dictionary costs."""
        if self.host is None:
            return None
        return measure_spliced_loss(self.host, self.corpus.documents[:N_LOSS_DOCUMENTS], {site: sae}).delta_ce

    def fidelity_at_answers(self, site: Site, sae: SAE) -> AnswerFidelity:
        """Explained variance where answers are predicted."""
        at_answers = self.at_answers.get(site)
        if at_answers is None or not len(at_answers):
            return AnswerFidelity(0, None, None)
        return measure_at_answers(sae, at_answers)


def _write(goal: TrainingGoal, trained: TrainedDictionary, judge: _Judge, output: Path) -> TrainedSAE:
    """Save one dictionary and judge what was saved, rounded as it is on disk."""
    trained.sae.save(output / goal.name)
    saved = trained.sae.rounded()
    held_out = judge.corpus.source.held_out(goal.site)
    fidelity = measure_fidelity(saved, held_out[JUDGED_ON])
    everywhere = measure_fidelity(saved, held_out)
    at_answers = judge.fidelity_at_answers(goal.site, saved)
    return TrainedSAE(
        path=output / goal.name,
        site=goal.site,
        d_sae=goal.config.d_sae,
        l0_target=goal.config.wanted_l0,
        l0=fidelity.l0,
        ev=fidelity.explained_variance,
        ev_answer=at_answers.explained_variance,
        ev_answer_interval=at_answers.interval,
        n_answers=at_answers.n_answers,
        delta_ce=judge.delta_ce(goal.site, saved),
        dead=everywhere.dead_share,
        dead_tokens=everywhere.n_tokens,
        tokens=trained.record.n_tokens,
        tokens_per_second=trained.record.tokens_per_second,
    )


def _write_result(rows: Sequence[TrainedSAE], goals: Sequence[TrainingGoal], output: Path) -> None:
    """The file that says that the run has ended; its paths begin at its own directory."""
    record = {
        "configuration": {goal.name: goal.to_json() for goal in goals},
        "saes": [{**row.to_json(), "path": row.path.name} for row in rows],
    }
    with written_whole(output / RESULT) as part:
        part.write_text(json.dumps(record, indent=1, allow_nan=False), encoding="utf-8")
