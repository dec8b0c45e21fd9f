"""What a set of edges does by itself: edge-masked runs.

In a masked run of nodes every node sees the same stream. Here each node d sees a stream of its own: from every parent
site u what d's edges bring, and the baseline for the rest, all errors included,

    x_u seen by d = x_u[baseline] + sum over edges (u, f) -> d of (f[now] - f[baseline]) * W_dec[f]

and d's activation now is its encoder on what the block makes of those streams. Nodes of a site without parents see the
clean prompt. The answer sees every node of the circuit: what stands before the logits is not an edge among nodes. So
all edges among a set of nodes are the node-masked run of that set, and nodes that no edge reaches do nothing.

1. Which activations there are to find, over all circuits: `edge_histories.py`.
2. Site by site, the streams that their nodes see. Later tokens do not reach earlier ones, so a stream serves every node
   that agrees with it up to the node's own token.
3. What the block makes of each stream, and what the encoder makes of that.
4. The answers.

Source: Hanna, Pezzelle and Belinkov 2024 (arXiv 2403.17806) evaluate sets of edges by patching each component's input.
Differs from it: the components are features, their inputs streams at sites. Marks et al. 2024 (arXiv 2403.19647) score
edges between features and do not evaluate them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.evaluation.edge_histories import ALL_EDGES, EdgeSet, Histories, NodeKey, only_last_token_is_seen
from circuits.runs.dictionaries import decoder_rows_of
from circuits.runs.passes import in_passes
from circuits.runs.runs import Runs
from sae.host.sites import Site

__all__ = ["ALL_EDGES", "EdgeSet", "NodeKey", "edge_masked_metrics"]

Sources = frozenset[int]
"""Histories whose nodes a stream carries; all else in it is at its baseline."""


def edge_masked_metrics(runs: Runs, edge_sets: Sequence[EdgeSet]) -> Float[Tensor, "sets references"]:
    """m of each set of edges under each reference of the baseline.

    Args:
        runs: Clean and baseline runs.
        edge_sets: Nodes and edges of each circuit.

    Raises:
        ValueError: An edge has an end outside its set's nodes, is one of an error, or joins sites of which one is not a
            parent of the other.
    """
    histories = Histories(runs)
    answers = [frozenset(histories.answered(edge_set)) for edge_set in edge_sets]
    found = _Activations.none(runs, histories)
    for site in runs.sites:
        found.find(site)
    distinct = list(dict.fromkeys(answers))
    metrics = dict(zip(distinct, found.metrics(distinct), strict=True))
    return torch.stack([metrics[answer] for answer in answers])


@dataclass(frozen=True, eq=False)
class _Activations:
    """The activations found so far, by history.

    Attributes:
        runs: Clean and baseline runs.
        histories: Of all circuits.
        position: Of each history's node.
        feature_id: Of each history's node.
        moved: How far each activation is from its baseline.
    """

    runs: Runs
    histories: Histories
    position: Int[Tensor, " histories"]
    feature_id: Int[Tensor, " histories"]
    moved: Float[Tensor, "histories references"]

    @classmethod
    def none(cls, runs: Runs, histories: Histories) -> "_Activations":
        """Nothing found yet."""
        device = runs.batch.ids.device
        nodes = [history.node for history in histories.all]
        position = torch.tensor([node[1] for node in nodes], dtype=torch.long, device=device)
        feature_id = torch.tensor([node[2] for node in nodes], dtype=torch.long, device=device)
        return cls(
            runs, histories, position, feature_id, torch.zeros(len(nodes), runs.baseline.n_references).to(device)
        )

    def find(self, site: Site) -> None:
        """Find the activations of one site's nodes; those of earlier sites are known."""
        own = self.histories.at(site)
        if not own:
            return
        runs, encoded = self.runs, self.runs.input_sites[site]
        index = torch.tensor(own, device=self.position.device)
        position, feature_id = self.position[index], self.feature_id[index]
        if self.histories.parents[site]:
            streams, ends, slot = self._streams_seen(own)
            x = self._arrivals(site, streams, ends)[slot, :, position]
        else:
            x = runs.clean[encoded][0, position][:, None].expand(-1, runs.baseline.n_references, -1)
        feature_ids, column = feature_id.unique(return_inverse=True)
        acts = runs.dictionaries[site].encode_features(x, feature_ids)[torch.arange(len(own)), :, column]
        self.moved[index] = acts - runs.baseline.features[site].columns(feature_ids)[:, position, column].T

    def metrics(self, answers: Sequence[Sources]) -> Iterable[Float[Tensor, " references"]]:
        """m of each answer, from what it sees."""
        per_pass = max(1, self.runs.rows_per_pass() // self.runs.baseline.n_references)
        parts = in_passes(len(answers), per_pass, lambda some: self._answer([answers[i] for i in some.tolist()]))
        return torch.cat(parts)

    def _streams_seen(self, own: Sequence[int]) -> tuple[list[Sources], list[int], Int[Tensor, " nodes"]]:
        """Streams that are enough for the nodes of a site, up to which token, and which of them serves each node.

        Nodes come by falling position: a stream that a later one sees serves it if they agree on all tokens up to its
        own.
        """
        positions, all_histories = self.position.tolist(), self.histories.all
        ends = sorted({positions[index] for index in own})
        streams: list[Sources] = []
        asked: list[int] = []
        serving: dict[tuple[int, Sources], int] = {}
        for index in sorted(own, key=lambda index: -positions[index]):
            end, sources = positions[index], frozenset(all_histories[index].sources)
            if (end, sources) not in serving:
                for earlier in ends[: ends.index(end) + 1]:
                    up_to = frozenset(source for source in sources if positions[source] <= earlier)
                    serving.setdefault((earlier, up_to), len(streams))
                streams.append(sources)
                asked.append(end)
        slot = [serving[positions[index], frozenset(all_histories[index].sources)] for index in own]
        return streams, asked, torch.tensor(slot, device=self.position.device)

    def _arrivals(
        self, target: Site, streams: Sequence[Sources], ends: Sequence[int]
    ) -> Float[Tensor, "streams references seq d_model"]:
        """What the block before a site makes of each stream, up to the last token that is asked for; 0 beyond."""
        runs, encoded = self.runs, self.runs.input_sites[target]
        n_references = runs.baseline.n_references

        def arrive(some: Int[Tensor, " some"]) -> Float[Tensor, "some references seq d_model"]:
            chosen, length = [streams[i] for i in some.tolist()], 1 + max(ends[i] for i in some.tolist())
            held = {source: self._stream(source, chosen)[:, :length] for source in self.histories.parents[target]}
            batch = runs.host.batch([runs.behaviour.prompt_ids[:length]]).repeat(len(chosen) * n_references)
            arrived = runs.host.arrivals(batch, held, [encoded])[encoded].unflatten(0, (-1, n_references))
            return torch.nn.functional.pad(arrived, (0, 0, 0, runs.n_positions - length))

        return torch.cat(in_passes(len(streams), max(1, runs.rows_per_pass() // n_references), arrive))

    def _stream(self, site: Site, streams: Sequence[Sources]) -> Float[Tensor, "rows seq d_model"]:
        """What goes on from a site in each stream under each reference."""
        runs, all_histories = self.runs, self.histories.all
        base = runs.baseline.activations[site]
        n_positions, width = base.shape[1:]
        carried = [(row, i) for row, sources in enumerate(streams) for i in sources if all_histories[i].node[0] == site]
        x = base.transpose(0, 1).repeat(len(streams), 1, 1)  # [streams*seq references d_model]
        if carried:
            row, index = torch.tensor(carried, device=base.device).T
            rows = decoder_rows_of(runs.dictionaries[site], self.feature_id[index])
            x.index_add_(0, row * n_positions + self.position[index], self.moved[index][..., None] * rows[:, None])
        x = x.unflatten(0, (-1, n_positions)).transpose(1, 2).reshape(-1, n_positions, width)
        return torch.where(runs.at_nodes[:, None], x, runs.clean[site][0, :n_positions])

    def _answer(self, answers: Sequence[Sources]) -> Float[Tensor, "answers references"]:
        runs, behaviour = self.runs, self.runs.behaviour
        batch = runs.batch.repeat(len(answers) * runs.baseline.n_references)
        if only_last_token_is_seen(runs):
            logits = runs.host.forward_from(
                batch, runs.sites[-1], self._stream(runs.sites[-1], answers), logits_to_keep=1
            )
        else:
            per_prompt = behaviour.rows_per_prompt
            held = {site: self._stream(site, answers).repeat_interleave(per_prompt, dim=0) for site in runs.sites}
            edits = {site: partial(_put, x, batch.node_mask) for site, x in held.items()}
            logits = runs.host.forward(batch, edits, logits_to_keep=behaviour.kept_logits).logits
        return behaviour.metric(logits).unflatten(0, (len(answers), -1))


def _put(
    stream: Float[Tensor, "rows seq d_model"],
    is_node: Bool[Tensor, "rows full"],
    x: Float[Tensor, "rows full d_model"],
) -> Float[Tensor, "rows full d_model"]:
    """The stream at the prompt's nodes; appended answer tokens go on as they are."""
    tail = x.shape[1] - stream.shape[1]
    return torch.where(is_node[..., None], torch.nn.functional.pad(stream, (0, 0, 0, tail)), x)
