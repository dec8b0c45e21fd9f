"""Where among some prompts the features of a circuit respond most, for a person who wonders what they stand for."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.runs.dictionaries import Dictionary, input_sites_of
from circuits.runs.passes import in_passes
from circuits.runs.runs import TOKENS_PER_PASS
from sae.host.sites import Site
from sae.inspection.reports import Context

if TYPE_CHECKING:
    from sae.host.host import HostModel

__all__ = ["MOST_CONTEXTS", "feature_contexts"]

MOST_CONTEXTS = 4
TOKENS_BEFORE, TOKENS_AFTER = 8, 3


@torch.no_grad()
def feature_contexts(
    host: "HostModel",
    dictionaries: Mapping[Site, Dictionary],
    features: Sequence[tuple[Site, int]],
    prompts: Sequence[Int[Tensor, " _"]],
) -> dict[tuple[Site, int], list[Context]]:
    """The prompts in which each feature is most active, at most four, around the token where it is.

    Args:
        host: The model.
        dictionaries: By site.
        features: Which of them to look at.
        prompts: Token ids; each is run once.

    Returns:
        For each feature at most four contexts, each from another prompt, strongest first: eight tokens before the one
        and three after. A feature that is active in no prompt has none.
    """
    chosen = {site: torch.tensor(sorted({f for at, f in features if at == site})) for site in dictionaries}
    chosen = {site: ids for site, ids in chosen.items() if len(ids)}
    activations = _activations(host, {site: dictionaries[site] for site in chosen}, chosen, prompts)
    texts = {token: host.tokenizer.decode([token]) for token in {int(t) for ids in prompts for t in ids}}
    words = [[texts[int(token)] for token in ids] for ids in prompts]
    return {
        (site, feature): _strongest([x[:, column] for x in activations[site]], words)
        for site, ids in chosen.items()
        for column, feature in enumerate(ids.tolist())
    }


def _activations(
    host: "HostModel",
    dictionaries: Mapping[Site, Dictionary],
    chosen: Mapping[Site, Int[Tensor, " chosen"]],
    prompts: Sequence[Int[Tensor, " _"]],
) -> dict[Site, list[Float[Tensor, "seq chosen"]]]:
    """Of the chosen features at every token of each prompt; 0 where no node can be."""
    reads = input_sites_of(dictionaries)
    found: dict[Site, list[Tensor]] = {site: [] for site in dictionaries}

    def run(rows: Int[Tensor, " rows"]) -> None:
        batch = host.batch([prompts[i] for i in rows])
        captured = host.capture(batch, set(reads.values()))
        for site, read in reads.items():
            feature_acts = dictionaries[site].encode_features(captured[read].float(), chosen[site].to(host.device))
            masked = (feature_acts * batch.node_mask[..., None]).cpu()
            found[site] += [masked[place, -len(prompts[i]) :] for place, i in enumerate(rows.tolist())]

    longest = max((len(ids) for ids in prompts), default=1)
    in_passes(len(prompts), max(1, TOKENS_PER_PASS // longest), run)
    return found


def _strongest(activations: Sequence[Float[Tensor, " _"]], words: Sequence[Sequence[str]]) -> list[Context]:
    peaks = [x.max().item() for x in activations]
    order = sorted(range(len(peaks)), key=lambda prompt: -peaks[prompt])[:MOST_CONTEXTS]
    return [_context(prompt, activations[prompt], words[prompt]) for prompt in order if peaks[prompt] > 0]


def _context(prompt: int, activations: Float[Tensor, " seq"], words: Sequence[str]) -> Context:
    peak = int(activations.argmax())
    first, end = max(0, peak - TOKENS_BEFORE), peak + 1 + TOKENS_AFTER
    return Context(prompt, tuple(words[first:end]), tuple(activations[first:end].tolist()), peak - first)
