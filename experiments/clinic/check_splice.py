"""How much of the host survives when dictionaries stand in for its activations, overall and where the answer forms."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from experiments.clinic.answering import answers
from experiments.clinic.case_sampling import paired_cases
from experiments.clinic.labelled_text import label_documents, site_activations
from experiments.clinic.labels import zero_dictionary
from experiments.clinic.measurement import Measurement, bootstrap, share
from experiments.clinic.other_texts import documents
from sae.dictionary.autoencoder import SAE
from sae.dictionary.random_directions import random_dictionary
from sae.evaluation.spliced_loss import measure_spliced_loss
from sae.host.host import Edit, HostModel
from sae.host.prompts import single_token
from sae.host.sites import Site
from sae.host.token_batch import TokenBatch

__all__ = ["check_explained_variance", "check_splice"]

SEED = 12


def check_splice(
    host: HostModel, dictionaries: Mapping[Site, SAE], *, n_cases: int, n_documents: int
) -> tuple[list[Measurement], dict[str, Any]]:
    """Diagnosis and cross-entropy with every error dropped, at the `resid_post` sites and at all sites."""
    cases = [p.test_case for p in islice(paired_cases(host.tokenizer, seed=SEED), n_cases)]
    prompts = [case.prompt for case in cases]
    gold = torch.tensor([single_token(host.tokenizer, case.answer) for case in cases])
    text = label_documents(host, documents(n_documents, SEED, "test"))
    measurements = []
    for title, chosen, bar in (("resid_post", _residual(dictionaries), 0.95), ("all sites", dict(dictionaries), 0.85)):

        def right(saes: Mapping[Site, SAE]) -> Float[Tensor, " cases"]:
            return (answers(host, prompts, _reconstructing(saes)) == gold).float()

        zero = {site: zero_dictionary(sae) for site, sae in chosen.items()}
        measurements.append(
            share(
                f"splice: diagnosis with {title} reconstructed",
                right(chosen),
                bar=bar,
                null=right(zero).mean().item(),
                null_name="zero dictionary",
            )
        )
        measurements.append(_delta_ce(host, chosen, zero, list(text.rows), title))
    return measurements, {}


def _residual(dictionaries: Mapping[Site, SAE]) -> dict[Site, SAE]:
    return {site: sae for site, sae in dictionaries.items() if site.kind == "resid_post"}


def _reconstructing(saes: Mapping[Site, SAE]) -> Callable[[TokenBatch], dict[Site, Edit]]:
    """Edits that drop every error at node positions."""

    def edits_of(batch: TokenBatch) -> dict[Site, Edit]:
        is_node = batch.node_mask[..., None]
        return {site: partial(_reconstruct, sae, is_node) for site, sae in saes.items()}

    return edits_of


def _reconstruct(
    sae: SAE, is_node: Bool[Tensor, "batch seq 1"], x: Float[Tensor, "batch seq d_model"]
) -> Float[Tensor, "batch seq d_model"]:
    return torch.where(is_node, sae.decode(sae.encode(x)), x)


def _delta_ce(
    host: HostModel, saes: Mapping[Site, SAE], zero: Mapping[Site, SAE], rows: list[Tensor], title: str
) -> Measurement:
    """Nats that the dictionaries cost, with an interval over groups of documents."""
    groups = [rows[i::10] for i in range(10)]
    costs = torch.tensor([measure_spliced_loss(host, group, saes).delta_ce for group in groups if group])
    low, high = bootstrap(costs, lambda drawn: drawn.mean(dim=-1))
    return Measurement(
        f"splice: delta CE with {title} reconstructed (nats)",
        costs.mean().item(),
        len(rows),
        low,
        high,
        bar=0.25 if title == "resid_post" else None,
        at_most=True,
        null=measure_spliced_loss(host, groups[0], zero).delta_ce,
        null_name="zero dictionary",
    )


def check_explained_variance(
    host: HostModel, dictionaries: Mapping[Site, SAE], *, n_documents: int
) -> tuple[list[Measurement], dict[str, Any]]:
    """Explained variance at the answer position, about that class's own mean, and over all positions."""
    text = label_documents(host, documents(n_documents, SEED + 1, "test"))
    activations = site_activations(host, text, list(dictionaries))
    measurements, best = [], None
    table: dict[str, Any] = {}
    for site, sae in dictionaries.items():
        x = activations[site]
        at_answer = x[text.is_answer]
        l0 = (sae.encode(x[:4096]) > 0).sum(dim=1).float().mean().item()
        null = random_dictionary(x, sae, l0=l0)
        table[str(site)] = {
            "explained_variance": _explained(sae, x),
            "at_answer": _explained(sae, at_answer),
            "l0": l0,
            "l0_at_answer": (sae.encode(at_answer) > 0).sum(dim=1).float().mean().item(),
            "random_at_answer": _explained(null, at_answer),
        }
        if site.kind != "resid_post":
            continue
        measurement = _answer_variance(site, sae, at_answer, null)
        measurements.append(measurement)
        if best is None or measurement.value > best.value:
            best = measurement
    if best is not None:
        measurements.append(_best_of(best))
    return measurements, table


def _answer_variance(site: Site, sae: SAE, x: Float[Tensor, "answers d_model"], null: SAE) -> Measurement:
    low, high = bootstrap(
        torch.arange(len(x)), lambda drawn: torch.stack([_explained_at(sae, x, d) for d in drawn[:200]])
    )
    return Measurement(
        f"explained variance at the answer, {site}",
        _explained(sae, x),
        len(x),
        low,
        high,
        bar=0.85,
        null=_explained(null, x),
        null_name="random dictionary of equal L0",
    )


def _best_of(best: Measurement) -> Measurement:
    site = best.name.rpartition(" ")[2]
    return Measurement(
        f"explained variance at the answer, best site ({site})",
        best.value,
        best.n,
        best.low,
        best.high,
        bar=0.90,
        null=best.null,
        null_name=best.null_name,
    )


def _explained_at(sae: SAE, x: Float[Tensor, "answers d_model"], rows: Tensor) -> Tensor:
    return torch.tensor(_explained(sae, x[rows]))


def _explained(sae: SAE, x: Float[Tensor, "tokens d_model"]) -> float:
    """1 - sum of squared errors / sum of squares about these positions' own mean."""
    error = (x - sae.decode_sparse(sae.encode_sparse(x))).double().square().sum()
    return (1 - error / (x - x.mean(dim=0)).double().square().sum()).item()
