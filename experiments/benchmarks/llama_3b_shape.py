"""Whether a circuit of a model of Llama-3.2-3B's shape fits into 16 GB, and how long it takes on a processor.

Run it as `python -m experiments.benchmarks.llama_3b_shape`. The weights are random: it measures shape, not behaviour.

1. A host of 3.2 B parameters in bfloat16; gradients and contractions are in float32.
2. Attribution patching against a contrast prompt at every site; the dictionary of a site is made from a seed, used and
   dropped before the next one is made.
3. Edges among the strongest features of each site. They read the rows of their ends only, so these rows are kept.

It prints one JSON object and adds a row to `results/llama_3b_shape.csv`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from circuits.effects.edge_effects import NodeTable, ScoredEdge, score_edges
from circuits.effects.node_effects import SiteEffects, effects_of_gradients
from circuits.prompts.behaviour import Answer, Behaviour
from circuits.runs.active_features import encode_active
from circuits.runs.baselines import Baseline
from circuits.runs.runs import Runs
from circuits.workbench import open_workbench
from experiments.benchmarks.figures import seconds
from experiments.benchmarks.result_files import RESULTS, append_row, machine
from experiments.peak_memory import peak_gigabytes
from experiments.random_llama import LLAMA_3_2_3B, random_llama
from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.host.token_batch import TokenBatch
from sae.progress import progress

__all__ = [
    "LLAMA_3B",
    "Recorded",
    "ScoredSite",
    "Shape",
    "edges_among",
    "main",
    "random_behaviour",
    "random_host",
    "random_sae",
    "recorded",
    "scored_sites",
]

WANTED_GIGABYTES = 16


@dataclass(frozen=True)
class Shape:
    """What is measured: the host's configuration, the dictionaries and the prompt."""

    config: Mapping[str, Any]
    d_sae: int = 16384
    l0: int = 64
    n_tokens: int = 32
    nodes_per_site: int = 50


LLAMA_3B = Shape(LLAMA_3_2_3B)


@dataclass(frozen=True)
class Recorded:
    """What the passes leave: activations of both prompts and the gradients of m, at every site."""

    host: HostModel
    behaviour: Behaviour
    batch: TokenBatch
    clean: Mapping[Site, Float[Tensor, "1 seq d_model"]]
    contrast: Mapping[Site, Float[Tensor, "1 seq d_model"]]
    gradients: Mapping[Site, Float[Tensor, "1 seq d_model"]]
    clean_metric: float

    def runs(self, dictionaries: Mapping[Site, SAE]) -> Runs:
        """Clean and contrast runs as seen through some dictionaries."""
        at_nodes = self.batch.node_mask[0]
        features = {site: encode_active(sae, self.contrast[site], at_nodes) for site, sae in dictionaries.items()}
        baseline = Baseline("contrast", self.contrast, features)
        return Runs(self.host, self.behaviour, dictionaries, baseline, self.batch, self.clean, self.clean_metric)


@dataclass(frozen=True)
class ScoredSite:
    """What is kept of a site once its dictionary is dropped: its strongest features, and of them everything."""

    dictionary: SAE
    """Of the kept features alone, numbered anew."""
    features: Int[Tensor, " kept"]
    """Their ids in the whole dictionary."""
    nodes: NodeTable
    gradients: Float[Tensor, "1 seq d_model"]
    n_scored: int
    """Nodes of the site that were scored."""


def main(shape: Shape = LLAMA_3B, out: Path = RESULTS / "llama_3b_shape.csv") -> None:
    """Build, score, print; times in seconds, memory in GB of 10^9 bytes."""
    # `seconds` times actions that return nothing, so each leaves its result in a list.
    host: list[HostModel] = []
    found: list[Recorded] = []
    scored: list[dict[Site, ScoredSite]] = []
    edges: list[ScoredEdge] = []
    times = {"build": seconds(lambda: host.append(random_host(shape)))}
    behaviour = random_behaviour(host[0], shape.n_tokens)
    times["passes"] = seconds(lambda: found.append(recorded(host[0], behaviour)))
    times["nodes"] = seconds(lambda: scored.append(dict(scored_sites(found[0], shape))))
    node_memory = peak_gigabytes()
    times["edges"] = seconds(lambda: edges.extend(edges_among(found[0], scored[0])))
    memory = peak_gigabytes()
    row = {
        "weights": "random",
        "parameters": sum(parameter.numel() for parameter in host[0]._model.parameters()),
        "host_dtype": str(host[0].dtype).removeprefix("torch."),
        "sites": len(scored[0]),
        "d_sae": shape.d_sae,
        "tokens": shape.n_tokens,
        "nodes": sum(site.n_scored for site in scored[0].values()),
        "edge_ends": sum(len(site.nodes.position) for site in scored[0].values()),
        "edges": len(edges),
        **{f"{name}_seconds": round(time, 1) for name, time in times.items()},
        "nodes_peak_gigabytes": round(node_memory, 2),
        "peak_gigabytes": round(memory, 2),
        "wanted_gigabytes_below": WANTED_GIGABYTES,
        "met": memory < WANTED_GIGABYTES,
        **machine(),
    }
    append_row(out, row)
    print(json.dumps(row, indent=1))


def random_host(shape: Shape) -> HostModel:
    """A Llama of this shape in bfloat16, with the tokenizer of the bundled model."""
    return HostModel(random_llama(shape.config), open_workbench("clinic").host.tokenizer, name="random weights")


def random_behaviour(host: HostModel, n_tokens: int) -> Behaviour:
    """Random tokens, of which the contrast has others in its second quarter; two random answers."""
    draw = torch.Generator().manual_seed(1)
    vocabulary = min(host.vocab_size, len(host.tokenizer))
    ids = torch.randint(4, vocabulary, (2, n_tokens), generator=draw)
    ids[:, 0] = host.tokenizer.bos_token_id
    changed = slice(n_tokens // 4, n_tokens // 2)
    contrast_ids = ids[0].clone()
    contrast_ids[changed] = ids[1, changed]
    tokens = tuple(host.tokenizer.decode([token]) for token in ids[0].tolist())
    target, foil = (Answer(host.tokenizer.decode([token]), (token,)) for token in (4, 5))
    return Behaviour("".join(tokens), ids[0], tokens, target, foil, "contrast", contrast_ids)


def recorded(host: HostModel, behaviour: Behaviour) -> Recorded:
    """Two passes in the host's precision; one more with its gradients, in float32."""
    assert behaviour.contrast_ids is not None
    batch = host.batch([behaviour.prompt_ids])
    run = host.forward(batch, capture=host.sites, logits_to_keep=1)
    contrast = host.capture(host.batch([behaviour.contrast_ids]), host.sites)
    found = host.gradients(batch, host.sites, behaviour.metric, logits_to_keep=1)
    clean, other = ({site: x[site].float() for site in host.sites} for x in (run.activations, contrast))
    return Recorded(host, behaviour, batch, clean, other, found.gradients, behaviour.metric(run.logits)[0].item())


def random_sae(site: Site, x: Float[Tensor, "seq d_model"], shape: Shape) -> SAE:
    """Random unit directions, the same for the same site; about `l0` of them are active at a token of `x`."""
    draw = torch.Generator().manual_seed(site.depth)
    rows = normalize(torch.randn(shape.d_sae, x.shape[1], generator=draw), dim=-1)
    level = (x @ rows.T).quantile(1 - shape.l0 / shape.d_sae, dim=1).mean().clamp(min=0).item()
    return _tied_sae(rows, level, site)


def _tied_sae(rows: Float[Tensor, "d_sae d_model"], level: float, site: Site) -> SAE:
    zeros = torch.zeros(len(rows))
    b_dec, threshold = torch.zeros(rows.shape[1]), torch.full((len(rows),), level)
    return SAE(encoder_rows=rows, b_enc=zeros, decoder_rows=rows, b_dec=b_dec, threshold=threshold, site=site)


def scored_sites(found: Recorded, shape: Shape) -> Iterator[tuple[Site, ScoredSite]]:
    """Attribution patching at each site; no two dictionaries are in memory together."""
    for site in progress(found.host.sites, "scoring", unit="site"):
        sae = random_sae(site, found.clean[site][0], shape)
        effects = effects_of_gradients(found.runs({site: sae}), {site: found.gradients[site][:1]})[site]
        yield site, _strongest(sae, effects, shape.nodes_per_site)


def _strongest(sae: SAE, effects: SiteEffects, n_nodes: int) -> ScoredSite:
    strongest = effects.indirect_effect.abs().topk(min(n_nodes, len(effects.indirect_effect))).indices
    features, renumbered = effects.feature_id[strongest].unique(return_inverse=True)
    assert sae.site is not None
    kept = _tied_sae(sae.decoder_rows[features], sae.threshold[0].item(), sae.site)
    nodes = NodeTable(effects.position[strongest], renumbered)
    return ScoredSite(kept, features, nodes, effects.gradients, len(effects.indirect_effect))


def edges_among(found: Recorded, scored: Mapping[Site, ScoredSite]) -> list[ScoredEdge]:
    """Edges among the kept features, which are numbered anew, of all blocks."""
    runs = found.runs({site: kept.dictionary for site, kept in scored.items()})
    effects = effects_of_gradients(runs, {site: kept.gradients for site, kept in scored.items()})
    return score_edges(runs, effects, {site: kept.nodes for site, kept in scored.items()})


if __name__ == "__main__":
    main()
