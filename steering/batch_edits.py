"""The specs of a batch as edits of its host: rows that share an operation share the arithmetic."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from sae.host.passes import Edit
from sae.host.reading_edits import host_edits
from sae.host.sites import Site
from sae.host.token_batch import TokenBatch
from steering.dictionaries import Dictionaries
from steering.directions import Feature, Target
from steering.interventions import Intervention, SteeringSpec
from steering.positions import PromptTokens, is_generated, position_mask
from steering.results import AppliedEdit, Steered
from steering.site_edits import EditSlot, SiteEdits

__all__ = ["BatchEdits"]

Slot = tuple[Target, str, str]
"""Target, operation and positions: what several rows can share."""


class BatchEdits:
    """The edits of one generation, or of one forward pass, and afterwards what they came to.

    Args:
        dictionaries: Prepared for the specs.
        batch: The prompts, each perhaps with a continuation.
        prompts: What each row begins with.
        specs: One a row.
        n_new: Tokens of each row after its prompt.
    """

    def __init__(
        self,
        dictionaries: Dictionaries,
        batch: TokenBatch,
        prompts: Sequence[PromptTokens],
        specs: Sequence[SteeringSpec],
        n_new: Sequence[int],
    ) -> None:
        self._dictionaries = dictionaries
        self._specs = specs
        self._slots = self._values_by_slot()
        self._site_edits: dict[Site, SiteEdits] = {}
        for site, slots in self._slots.items():
            edit_slots = [self._edit_slot(batch, prompts, n_new, slot, values) for slot, values in slots.items()]
            needs_sae = any(isinstance(target, Feature) for target, _, _ in slots)
            self._site_edits[site] = SiteEdits(edit_slots, dictionaries.sae(site) if needs_sae else None)

    def host_edits(self) -> dict[Site, Edit]:
        """What the host is to be run with, once."""
        saes = self._dictionaries.loaded
        inputs = {site: (saes[site].input_site if site in saes else None) or site for site in self._site_edits}
        return host_edits(self._site_edits, inputs)

    def steered(self, n_passes: Sequence[int]) -> tuple[Steered, ...]:
        """What steering came to, row by row.

        Args:
            n_passes: Passes of each row that count, the prompt's among them: those before its end.
        """
        measured = {
            site: tuple(part.tolist() for part in edits.norm_ratios(n_passes))
            for site, edits in self._site_edits.items()
        }
        return tuple(self._steered_row(measured, row, spec) for row, spec in enumerate(self._specs))

    def _values_by_slot(self) -> dict[Site, dict[Slot, dict[int, float]]]:
        """For each slot of a site the coefficient of every row that has it."""
        found: dict[Site, dict[Slot, dict[int, float]]] = {}
        for row, spec in enumerate(self._specs):
            for each in spec.interventions:
                values = found.setdefault(each.target.site, {}).setdefault(_slot_of(each), {})
                values[row] = self._dictionaries.unit_sizes(each.target).coefficient(each)
        return found

    def _edit_slot(
        self,
        batch: TokenBatch,
        prompts: Sequence[PromptTokens],
        n_new: Sequence[int],
        slot: Slot,
        values: Mapping[int, float],
    ) -> EditSlot:
        target, operation, positions = slot
        n_rows, device = batch.n_rows, batch.ids.device
        at_prompt = torch.zeros(batch.ids.shape, dtype=torch.bool)
        for row in values:
            at_prompt[row] = position_mask(batch, row, prompts[row], positions, n_new=n_new[row])
        return EditSlot(
            operation=operation,
            direction=self._dictionaries.direction(target),
            feature=target.index if isinstance(target, Feature) else None,
            values=torch.tensor([values.get(row, 0.0) for row in range(n_rows)], device=device),
            at_prompt=at_prompt.to(device),
            at_generated=torch.tensor([row in values and is_generated(positions) for row in range(n_rows)]).to(device),
        )

    def _steered_row(self, measured: Mapping[Site, tuple[Any, ...]], row: int, spec: SteeringSpec) -> Steered:
        edits = []
        for each in spec.interventions:
            ratios, counts = measured[each.target.site]
            slot = list(self._slots[each.target.site]).index(_slot_of(each))
            n_tokens, sizes = round(counts[row][slot]), self._dictionaries.unit_sizes(each.target)
            strengths = sizes.in_every_unit(sizes.coefficient(each)) if each.has_strength else None
            norm_ratio = ratios[row][slot] if n_tokens else None
            if norm_ratio is not None and not math.isfinite(norm_ratio):
                raise ValueError(
                    f"{each} makes the stream overflow, expected finite activations; give a smaller strength"
                )
            edits.append(AppliedEdit(each, strengths, norm_ratio, n_tokens))
        totals = [ratios[row][-1] for ratios, counts in measured.values() if counts[row][-1]]
        return Steered(spec, tuple(edits), max(totals, default=None))


def _slot_of(intervention: Intervention) -> Slot:
    return intervention.target, intervention.operation, intervention.positions
