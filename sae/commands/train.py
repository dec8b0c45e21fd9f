"""`sae train`: one or several SAEs in one pass over a corpus or a store."""

import shutil
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from sae.command_line import (
    FiniteFloat,
    Stopwatch,
    default_output,
    emit_json,
    host_options,
    json_option,
    output_options,
)
from sae.commands.options import CORPUS_HELP, numbers, result

if TYPE_CHECKING:
    from sae.activations.store.store import ActivationStore
    from sae.host.host import HostModel
    from sae.host.sites import Site
    from sae.training.corpus_source import Corpus
    from sae.training.corpus_training import TrainedSAE

__all__ = ["EXAMPLE", "train"]

EXAMPLE = "sae train --corpus clinic:clinical --sites resid_post.2 --d-sae 512 --l0 8 --tokens 500000 --out runs/sae"
THRESHOLD_OPTIONS = ("bandwidth", "initial_threshold", "threshold_learning_rate", "gradient_through_window")
ONLY_FOR = {"jumprelu": ("objective", *THRESHOLD_OPTIONS, "start", "kl_weight"), "matryoshka": ("prefixes",)}
"""Options that one architecture has."""
MOST_TOKENS_IN_MEMORY = 700_000
"""Training draws from so many with repetition; a store or --live has more."""


def _widths(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    """A comma list of whole numbers."""
    found = numbers(ctx, param, value)
    if not all(number.is_integer() and number > 0 for number in found):
        raise click.BadParameter(f"{value!r} is no comma list of whole numbers above 0", ctx, param)
    return tuple(int(number) for number in found)


def _shares(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """A comma list of fractions or decimals, as in 1/4,0.5,1."""
    try:
        return None if value is None else tuple(float(Fraction(part.strip())) for part in value.split(","))
    except (ValueError, ZeroDivisionError):
        raise click.BadParameter(f"{value!r} is no comma list of shares, as in 1/4,1/2,1", ctx, param) from None


@click.command(epilog=f"Example:  {EXAMPLE}")
@click.option("--corpus", default=None, help=CORPUS_HELP)
@click.option("--store", type=click.Path(path_type=Path), default=None, help="What `sae harvest` wrote.")
@click.option("--sites", default=None, help="Comma list with globs, e.g. 'resid_post.*' [default: those of the store].")
@click.option("--d-sae", callback=_widths, required=True, help="Features per SAE; several by commas.")
@click.option("--l0", callback=numbers, required=True, help="Wanted mean number of active features; several by commas.")
@click.option("--tokens", type=click.IntRange(min=1), required=True, help="Tokens that each SAE is trained on.")
@click.option(
    "--architecture",
    type=click.Choice(("jumprelu", "batchtopk", "matryoshka")),
    default="jumprelu",
    help="jumprelu learns thresholds; batchtopk takes a batch's largest pre-activations; matryoshka does, and prefixes "
    "of the dictionary reconstruct by themselves. Every SAE is written as JumpReLU.",
)
@click.option(
    "--prefixes",
    callback=_shares,
    default=None,
    help="Prefixes of matryoshka as shares of --d-sae, increasing to 1 [default: 1/16,1/8,1/4,1/2,1].",
)
@click.option(
    "--objective",
    type=click.Choice(("step", "quadratic", "tanh", "description_length")),
    default="step",
    help="Penalty of jumprelu; description_length counts the bits of each active feature instead of 1.",
)
@click.option(
    "--kernel",
    type=click.Choice(("auto", "dense", "sparse", "triton")),
    default="auto",
    help="How gradients are computed; auto chooses by device and measured density. matryoshka has no triton.",
)
@click.option("--bandwidth", type=FiniteFloat(0.0), default=None, help="Window of a threshold, in activation scales.")
@click.option("--initial-threshold", type=FiniteFloat(0.0), default=None, help="In activation scales.")
@click.option("--threshold-learning-rate", type=FiniteFloat(0.0), default=None, help="About its move in one step.")
@click.option("--gradient-through-window", is_flag=True, help="Pass the jump's gradient to encoder and bias too.")
@click.option("--learning-rate", type=FiniteFloat(0.0), default=None, help="Peak rate [default: by d_model].")
@click.option(
    "--loss-unit",
    type=click.Choice(("unexplained", "variance")),
    default="unexplained",
    help="What the loss is divided by: the share of the variance left unexplained keeps gradients of one size.",
)
@click.option(
    "--clipping",
    type=click.Choice(("none", "row", "global")),
    default="none",
    help="Which gradients are clipped, never those of thresholds; only without it a GPU fuses the optimiser in.",
)
@click.option("--batch-tokens", type=click.IntRange(min=1), default=2048, help="Tokens of an optimiser step.")
@click.option("--from", "start", default=None, help="SAE or directory of SAEs to begin with: fine-tuning.")
@click.option(
    "--kl",
    "kl_weight",
    type=FiniteFloat(0.0),
    default=None,
    help="With --from: how much the KL divergence of the spliced host counts; 1 is as much as the squared error.",
)
@click.option("--uniform", is_flag=True, help="Draw tokens uniformly instead of by label-free importance.")
@click.option("--live", is_flag=True, help="Make activations as they are needed instead of keeping them in memory.")
@click.option("--checkpoint-every", type=click.IntRange(min=1), default=None, help="Steps between checkpoints.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out.")
@output_options
@host_options
@json_option
def train(out: Path | None, force: bool, as_json: bool, **options: Any) -> None:
    """Train one SAE for each site, width and L0, all in one pass.

    The run lies in --out: the SAEs, checkpoint, metrics.jsonl. SIGINT and SIGTERM save a checkpoint first.
    """
    _check_usage(options)
    target = out or default_output("sae-train")
    _check_output(target, force=force, resume=options["resume"])
    from sae.host.host import HostModel

    watch = Stopwatch()
    with watch.stage("load"):
        host = HostModel.load(options["model"], device=options["device"], dtype=options["dtype"])
    with watch.stage("train"):
        trained = _train(host, target, options)
    rows = [sae.to_json() for sae in trained]
    if as_json:
        model = {"name": host.name, "path": str(host.path)}
        emit_json(result("train", options, model=model, saes=rows, seconds=watch.seconds))
        return
    for row in rows:
        click.echo(_line(row))
    if not any(row["n_answers"] for row in rows):
        corpus = options["corpus"] or f"the corpus of {options['store']}"
        click.echo(f"explained variance at the answer: not known, {corpus} does not say where its answers are due")


def _check_usage(options: dict[str, Any]) -> None:
    _check_architecture(options)
    if (options["corpus"] is None) == (options["store"] is None):
        raise click.UsageError("give either --corpus or --store")
    if options["store"] is None and options["sites"] is None:
        raise click.UsageError("--corpus needs --sites, as in --sites 'resid_post.*'")
    if options["live"] and options["store"] is not None:
        raise click.UsageError("--live makes activations from --corpus; a --store has them already")
    if options["kl_weight"] is not None and (options["start"] is None or options["corpus"] is None):
        raise click.UsageError("--kl fine-tunes an SAE on whole documents; give it with --from and --corpus")


def _check_architecture(options: dict[str, Any]) -> None:
    """Options of another architecture are refused even where they are given their default."""
    ctx, architecture = click.get_current_context(), options["architecture"]
    foreign = {name: owner for owner, names in ONLY_FOR.items() if owner != architecture for name in names}
    for param in ctx.command.params:
        owner = foreign.get(param.name or "")
        if owner is not None and ctx.get_parameter_source(param.name or "") is not ParameterSource.DEFAULT:
            raise click.UsageError(f"{param.opts[0]} needs --architecture {owner}, not {architecture}")
    if architecture == "matryoshka" and options["kernel"] == "triton":
        raise click.UsageError("--kernel triton does not train matryoshka; choose auto, dense or sparse")


def _check_output(target: Path, *, force: bool, resume: bool) -> None:
    """Make sure that no earlier run is lost unless that is wanted."""
    if target.exists() and not target.is_dir():
        raise ValueError(f"output {str(target)!r} is a file, expected a directory; give another --out")
    if target.exists() and not (force or resume):
        raise ValueError(f"output {str(target)!r} exists already; give another --out, or add --resume or --force")


def _train(host: "HostModel", target: Path, options: dict[str, Any]) -> "list[TrainedSAE]":
    from sae.activations.store.store import ActivationStore
    from sae.dictionary.collection import load_saes
    from sae.host.sites import match_sites
    from sae.training.corpus_training import finished_result, train_to_disk
    from sae.training.memory import check_memory
    from sae.training.plan import TrainingPlan

    store = None if options["store"] is None else ActivationStore.open(options["store"])
    sites = match_sites(options["sites"] or "*", host.sites if store is None else store.sites)
    start = None
    if options["start"] is not None:
        start = load_saes(options["start"], host=host, sites=",".join(map(str, sites)))
    plan = TrainingPlan(
        sites=tuple(sites),
        d_sae=options["d_sae"],
        l0=options["l0"],
        n_tokens=options["tokens"],
        architecture=options["architecture"],
        objective=options["objective"],
        prefixes=options["prefixes"],
        kernel=options["kernel"],
        batch_tokens=options["batch_tokens"],
        learning_rate=options["learning_rate"],
        loss_unit=options["loss_unit"],
        clipping=options["clipping"],
        thresholds={name: options[name] for name in THRESHOLD_OPTIONS if options[name]},
        start=start,
        kl_weight=options["kl_weight"],
        seed=options["seed"],
    )
    if options["resume"] and (finished := finished_result(plan, target, d_model=host.d_model)) is not None:
        return finished
    # before the corpus is run, which may take long
    check_memory(plan.goals(d_model=host.d_model, metadata={}), host.d_model, host.device)
    corpus = _corpus(host, store, sites, options)
    if not options["resume"]:
        # not before everything is read that may lie in it
        shutil.rmtree(target, ignore_errors=True)
    checkpoint_every = options["checkpoint_every"]
    return train_to_disk(plan, corpus, target, host=host, checkpoint_every=checkpoint_every, resume=options["resume"])


def _corpus(
    host: "HostModel", store: "ActivationStore | None", sites: "list[Site]", options: dict[str, Any]
) -> "Corpus":
    """Where tokens come from: a store, memory, the host as it goes, or whole documents."""
    from sae.training.corpus_source import corpus_source, document_source, live_source, stored_source

    importance, seed, spec = not options["uniform"], options["seed"], options["corpus"]
    if store is not None:
        return stored_source(host, store, sites, importance=importance, seed=seed)
    if options["live"]:
        return live_source(host, spec, sites, seed=seed)
    n_tokens = min(options["tokens"], MOST_TOKENS_IN_MEMORY)
    if options["kl_weight"] is not None:
        return document_source(host, spec, sites, n_tokens=n_tokens, seed=seed)
    return corpus_source(host, spec, sites, n_tokens=n_tokens, importance=importance, seed=seed)


def _line(row: dict[str, Any]) -> str:
    ev = "undefined" if row["ev"] is None else f"{row['ev']:.3f}"
    return (
        f"{row['path']}: L0 {row['l0']:.2f} (wanted {row['l0_target']:g}), explained variance {ev}{_at_answer(row)}, "
        f"delta CE {row['delta_ce']:.3f} nats, {row['dead']:.1%} dead"
    )


def _at_answer(row: dict[str, Any]) -> str:
    if row["ev_answer"] is None:
        return ""
    low, high = row["ev_answer_interval"]
    return f" ({row['ev_answer']:.3f} [{low:.3f}, {high:.3f}] at the answer)"
