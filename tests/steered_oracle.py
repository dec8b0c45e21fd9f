"""Steering by definition: torch's own hooks, no cache, no batch, one token and one intervention after another."""

from collections.abc import Mapping, Sequence

import torch
from plain_hooks import plain_hooks
from torch import Tensor
from transformers import PreTrainedModel

from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site
from steering.directions import Feature
from steering.interventions import Intervention, SteeringSpec
from steering.positions import PromptTokens


def acts_on(positions: str, token: int, prompt: PromptTokens) -> bool:
    """Whether an edit acts on the token at an index that is not BOS."""
    last = len(prompt.ids) - 1
    if positions.startswith("span:"):
        return token in prompt.spans[positions.removeprefix("span:")]
    return {"all": True, "prompt": token <= last, "generated": token >= last, "last": token == last}[positions]


def direction_of(target, saes: Mapping[Site, SAE]) -> Tensor:
    return saes[target.site].W_dec[target.index] if isinstance(target, Feature) else torch.tensor(target.vector)


def moved(each: Intervention, x: Tensor, saes: Mapping[Site, SAE]) -> Tensor:
    """What one intervention other than a projection adds to one token; strengths are raw."""
    d, v = direction_of(each.target, saes), each.value
    if each.operation == "add":
        return v * d
    a = saes[each.target.site].encode(x)[each.target.index]
    wanted = {"scale": lambda: v * a, "ablate": lambda: 0 * a, "min": lambda: max(a, v), "max": lambda: min(a, v)}
    if each.operation == "clamp":
        return torch.zeros_like(d) if v < 0 and a == 0 else (v - a) * d
    return (wanted[each.operation]() - a) * d


def steered_token(x: Tensor, edits: Sequence[Intervention], saes: Mapping[Site, SAE]) -> Tensor:
    """One token's activation at a site with all its edits there."""
    result = x + sum((moved(each, x, saes) for each in edits if each.operation != "project"), torch.zeros_like(x))
    projected = [each for each in edits if each.operation == "project"]
    if not projected:
        return result
    directions = torch.stack([direction_of(each.target, saes) for each in projected]).double()
    wanted = torch.tensor([each.value for each in projected]).double() * directions.square().sum(1)
    change = torch.linalg.lstsq(directions, wanted - directions @ result.double(), driver="gelsd").solution
    return (result.double() + change).float()


def oracle_logits(
    model: PreTrainedModel, ids: Tensor, prompt: PromptTokens, spec: SteeringSpec, saes: Mapping[Site, SAE], bos: int
) -> Tensor:
    """Logits of every position of a text that begins with the prompt."""

    def visit(site: Site):
        def edit(x: Tensor) -> Tensor:
            rows = []
            for token in range(x.shape[1]):
                here = [i for i in spec.interventions if i.target.site == site and acts_on(i.positions, token, prompt)]
                rows.append(x[0, token] if ids[token] == bos else steered_token(x[0, token], here, saes))
            return torch.stack(rows)[None]

        return edit

    sites = {each.target.site for each in spec.interventions}
    with torch.no_grad(), plain_hooks(model, {site: visit(site) for site in sites}):
        return model(input_ids=ids[None], use_cache=False).logits[0]


def oracle_generate(
    model: PreTrainedModel,
    prompt: PromptTokens,
    spec: SteeringSpec,
    saes: Mapping[Site, SAE],
    *,
    n: int,
    bos: int,
    end: Sequence[int] = (),
) -> list[int]:
    """The likeliest continuation, the whole text run anew for each token."""
    ids = prompt.ids
    for _ in range(n):
        ids = torch.cat([ids, oracle_logits(model, ids, prompt, spec, saes, bos)[-1:].argmax(-1)])
        if int(ids[-1]) in end:
            break
    return ids[len(prompt.ids) :].tolist()
