"""How long steered generation takes beside plain generation through the same door.

Run it as `python -m experiments.benchmarks.steering_speed`. Nothing is timed unless a strength of 0 leaves the tokens
as they are and an added direction gives the tokens that torch's own hook gives. It prints one JSON object and adds its
rows to `results/steering_speed.csv`.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from transformers import LlamaForCausalLM

from experiments.benchmarks.figures import larger_llama, seconds, summary
from experiments.benchmarks.result_files import RESULTS, append_row, machine
from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.host.sites import Site
from steering.dictionaries import Dictionaries
from steering.interventions import SteeringSpec
from steering.parsing import parse_edit
from steering.positions import PromptTokens, read_prompt
from steering.steered_host import SteeredHost

__all__ = ["main"]

REPEATS = 9
BATCH = 8
NEW_TOKENS = 64
D_MODEL, D_SAE = 512, 8192
SITE = Site("resid_post", 3)
MOST_TIMES_PLAIN = 1.10
PROMPT = "We see an old man with tiredness and night sweats. The most likely diagnosis is"
EDITS = {
    "one add": (("resid_post.3/5:add=3",), MOST_TIMES_PLAIN),
    "one clamp": (("resid_post.3/5:clamp=3",), None),
    "four adds and a projection": (
        (*(f"resid_post.3/{feature}:add=2" for feature in range(4)), "resid_post.3/9:project"),
        None,
    ),
}


def main() -> None:
    """Gate, measure, print."""
    model, steered = _host()
    prompts = [read_prompt(steered.host, PROMPT)] * BATCH
    _gate(model, steered, prompts)
    found = machine()
    summaries = {}
    for name, (edits, bar) in EDITS.items():
        specs = [_spec(edits)] * BATCH
        run = partial(steered.generate, prompts, specs, max_new_tokens=NEW_TOKENS)
        times = _ratios(partial(_plain, steered.host, prompts), run)
        summaries[name] = summary(times, at_most=bar)
        columns = {f"times_plain_{key}": summaries[name][key] for key in ("median", "low", "high")}
        setting = {"batch": BATCH, "new_tokens": NEW_TOKENS, "d_model": D_MODEL, "layers": steered.host.n_layers}
        append_row(RESULTS / "steering_speed.csv", {"edits": name, **setting, "repeats": REPEATS, **columns, **found})
    print(json.dumps({"machine": found, "figures": summaries}, indent=1))


def _host() -> tuple[LlamaForCausalLM, SteeredHost]:
    """Eight layers of width 512 with random weights that never end a text, and a random dictionary."""
    tokenizer = HostModel.load("clinic").tokenizer
    model = larger_llama(len(tokenizer), d_model=D_MODEL)
    model.generation_config.eos_token_id = None
    host = HostModel(model, tokenizer, name="random weights")
    generator = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(D_SAE, D_MODEL, generator=generator), dim=-1)
    sae = SAE(
        encoder_rows=rows,
        b_enc=torch.zeros(D_SAE),
        decoder_rows=rows,
        b_dec=torch.zeros(D_MODEL),
        threshold=torch.full((D_SAE,), 0.1),
        site=SITE,
    )
    return model, SteeredHost(host, Dictionaries(host, saes={SITE: sae}))


def _spec(edits: tuple[str, ...]) -> SteeringSpec:
    return SteeringSpec(tuple(parse_edit(edit) for edit in edits))


def _plain(host: HostModel, prompts: list[PromptTokens]) -> torch.Tensor:
    """Plain generation, tokenised batch and all, as the steered one."""
    batch = host.batch([prompt.ids for prompt in prompts])
    return host.generate(batch, max_new_tokens=NEW_TOKENS)[:, batch.ids.shape[1] :]


def _gate(model: LlamaForCausalLM, steered: SteeredHost, prompts: list[PromptTokens]) -> None:
    """A strength of 0 must change no token; an added direction must do what a hook that adds it does."""
    plain = _plain(steered.host, prompts)
    direction = steered.dictionaries.sae(SITE).decoder_rows[5]
    for strength in (0.0, 3.0):
        specs = [_spec((f"{SITE}/5:add={strength}@all",))] * BATCH
        rows = steered.generate(prompts, specs, max_new_tokens=NEW_TOKENS)
        found = torch.stack([row.new_ids for row in rows])
        expected = plain if strength == 0 else _hooked(model, steered.host, prompts, strength * direction)
        if not torch.equal(found, expected):
            raise ValueError(f"a strength of {strength} gives other tokens than it should; nothing was timed")


def _hooked(model: LlamaForCausalLM, host: HostModel, prompts: list[PromptTokens], added: torch.Tensor) -> torch.Tensor:
    """Generation with a torch hook that adds to every token but BOS, which is the first of the first pass."""

    def add(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        change = added.expand_as(output).clone()
        if output.shape[1] > 1:
            change[:, 0] = 0.0
        return output + change

    handle = model.model.layers[SITE.layer].register_forward_hook(add)
    try:
        return _plain(host, prompts)
    finally:
        handle.remove()


def _ratios(plain: Callable[[], Any], steered: Callable[[], Any]) -> list[float]:
    """Steered over plain time, one beside the other, in either order in turn; the first pair is not counted."""
    found = []
    for repeat in range(REPEATS + 1):
        if repeat % 2:
            of_plain, of_steered = seconds(plain), seconds(steered)
        else:
            of_steered, of_plain = seconds(steered), seconds(plain)
        found.append(of_steered / of_plain)
    return found[1:]


if __name__ == "__main__":
    main()
