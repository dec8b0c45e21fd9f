"""Held-out documents as tokens whose concepts are known: what features are named and scored by.

The tokens of one mention of a finding form one unit, scored by the largest activation among them; every other token is
a unit of its own. The prompt's last token before a diagnosis carries the concept ``latent:DISEASE``: the answer is due
but not yet said. At the other questions about the same case the diagnosis is at work as well; for that concept they are
left out, neither hit nor miss.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from experiments.clinic.broad_text import broad_documents
from experiments.clinic.document import Document
from experiments.clinic.ground_truth import concepts_of_span
from experiments.clinic.other_texts import documents
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = ["LabelledText", "concepts_of_span", "label_documents", "naming_documents", "site_activations"]

N_NAMING_DOCUMENTS = 1800
NAMING_SEED = 21

MIN_MENTIONS = 8
"""Concepts with fewer units on either split are not scored."""


@dataclass(frozen=True)
class LabelledText:
    """Documents, their tokens without BOS, and the units that the tokens form."""

    rows: tuple[Int[Tensor, " _"], ...]
    """Token ids of each document, BOS included."""
    token_ids: Int[Tensor, " tokens"]
    unit: Int[Tensor, " tokens"]
    """The unit that each token belongs to."""
    is_last: Bool[Tensor, " tokens"]
    """Whether the token is the last of its unit."""
    concepts: tuple[str, ...]
    truth: Float[Tensor, "units concepts"]
    """1 where the unit expresses the concept."""
    left_out: Float[Tensor, "units concepts"]
    """1 where it can be said neither that the unit expresses the concept nor that it does not."""
    in_split_b: Bool[Tensor, " units"]
    """Names are chosen on the other units and scored on these; whole documents fall on one side."""
    is_answer: Bool[Tensor, " tokens"]
    """Tokens after which a diagnosis is due that nothing before gave away."""

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.in_split_b)

    def pool(self, feature_acts: Float[Tensor, "tokens features"]) -> Float[Tensor, "units features"]:
        """Largest activation over the tokens of each unit; activations must not be negative."""
        pooled = feature_acts.new_zeros(self.n_units, feature_acts.shape[1])
        return pooled.scatter_reduce_(0, self.unit[:, None].expand_as(feature_acts), feature_acts, "amax")

    def family(self, prefix: str) -> list[int]:
        """Columns of the concepts that begin with `prefix`."""
        return [column for column, concept in enumerate(self.concepts) if concept.startswith(prefix)]


def naming_documents(n: int = N_NAMING_DOCUMENTS) -> list[Document]:
    """The validation documents that features are named on: `n` clinical ones, and a quarter as many broad ones."""
    clinical, broad = documents(n, NAMING_SEED, "validation"), broad_documents(n // 4, NAMING_SEED, "validation")
    return [*clinical, *broad]


def label_documents(host: HostModel, documents: Sequence[Document]) -> LabelledText:
    """Tokenise documents and carry their concepts over from characters to units of tokens."""
    encoded = host.tokenizer(
        [document.text for document in documents], add_special_tokens=False, return_offsets_mapping=True
    )
    builder = _UnitBuilder()
    rows = []
    bos = torch.tensor([host.tokenizer.bos_token_id])
    for index, (document, ids, offsets) in enumerate(
        zip(documents, encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ):
        rows.append(torch.cat([bos, torch.tensor(ids)]))
        builder.add_document(document, offsets, in_split_b=index % 2 == 1)
    return builder.build(tuple(rows))


class _UnitBuilder:
    """Collects units document by document."""

    def __init__(self) -> None:
        self.unit: list[int] = []
        self.is_answer: list[bool] = []
        self.in_split_b: list[bool] = []
        self.unit_concepts: list[set[str]] = []
        self.unit_left_out: list[set[str]] = []

    def add_document(self, document: Document, offsets: list[tuple[int, int]], *, in_split_b: bool) -> None:
        start = len(self.unit)
        concepts: list[set[str]] = [set() for _ in offsets]
        first_of_mention: dict[int, int] = {}
        for span in document.spans:
            tokens = [i for i, (a, b) in enumerate(offsets) if a < span.end and b > span.start]
            for i in tokens:
                concepts[i].update(concepts_of_span(span.concept, document.text[span.start : span.end]))
                first_of_mention.setdefault(i, tokens[0])
        asked = {
            max(i for i, (_, end) in enumerate(offsets) if end <= point.prompt_end): point
            for point in document.answer_points
        }
        diagnoses = {f"latent:{point.answer}" for point in document.answer_points if point.kind == "diagnosis"}
        answers = {i for i, point in asked.items() if point.kind == "diagnosis" and not point.revealed}
        for i in answers:
            concepts[i].add(f"latent:{asked[i].answer}")
        for i in range(len(offsets)):
            if first_of_mention.get(i, i) == i:
                self.unit_concepts.append(set())
                self.unit_left_out.append(set())
                self.in_split_b.append(in_split_b)
                self.unit.append(len(self.unit_concepts) - 1)
            else:
                self.unit.append(self.unit[start + first_of_mention[i]])
            self.unit_concepts[self.unit[-1]] |= concepts[i]
            if i in asked and i not in answers:
                self.unit_left_out[self.unit[-1]] |= diagnoses
            self.is_answer.append(i in answers)

    def build(self, rows: tuple[Tensor, ...]) -> LabelledText:
        in_split_b = torch.tensor(self.in_split_b)
        counts = _count_by_split(self.unit_concepts, self.in_split_b)
        concepts = tuple(sorted(name for name, (a, b) in counts.items() if min(a, b) >= MIN_MENTIONS))
        column = {name: i for i, name in enumerate(concepts)}
        unit = torch.tensor(self.unit)
        last = {unit: token for token, unit in enumerate(self.unit)}
        is_last = torch.zeros(len(unit), dtype=torch.bool)
        is_last[list(last.values())] = True
        return LabelledText(
            rows=rows,
            token_ids=torch.cat([row[1:] for row in rows]),
            unit=unit,
            is_last=is_last,
            concepts=concepts,
            truth=_indicator(self.unit_concepts, column),
            left_out=_indicator(self.unit_left_out, column),
            in_split_b=in_split_b,
            is_answer=torch.tensor(self.is_answer),
        )


def _indicator(unit_names: list[set[str]], column: dict[str, int]) -> Float[Tensor, "units concepts"]:
    """1 where a unit has the name of a column."""
    table = torch.zeros(len(unit_names), len(column))
    for unit, names in enumerate(unit_names):
        for name in names & column.keys():
            table[unit, column[name]] = 1
    return table


def _count_by_split(unit_concepts: list[set[str]], in_split_b: list[bool]) -> dict[str, list[int]]:
    counts: dict[str, list[int]] = {}
    for names, split in zip(unit_concepts, in_split_b, strict=True):
        for name in names:
            counts.setdefault(name, [0, 0])[int(split)] += 1
    return counts


def site_activations(
    host: HostModel, text: LabelledText, sites: Sequence[Site], *, batch_rows: int = 128
) -> dict[Site, Float[Tensor, "tokens d_model"]]:
    """Activations of every token of the documents, BOS left out, in the order of `text.token_ids`."""
    order = sorted(range(len(text.rows)), key=lambda i: len(text.rows[i]))
    pieces: dict[Site, list[Tensor]] = {site: [torch.empty(0)] * len(text.rows) for site in sites}
    for start in range(0, len(order), batch_rows):
        chosen = order[start : start + batch_rows]
        batch = host.batch([text.rows[i] for i in chosen])
        captured = host.capture(batch, sites)
        for site, activations in captured.items():
            for row, i in enumerate(chosen):
                pieces[site][i] = activations[row][batch.node_mask[row]]
    return {site: torch.cat(parts) for site, parts in pieces.items()}
