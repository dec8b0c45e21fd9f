"""An evaluation in the layout of SAEBench's `core` results, so that its tools can show it beside theirs.

Names are SAEBench's (Karvonen et al. 2025), numbers ours: what it defines otherwise, or what is not measured here, is
said in `eval_result_unstructured`. Where its layout wants a number and there is none, its own sign for that stands: -1.
"""

import json
import math
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from sae.dictionary.autoencoder import SAE
from sae.dictionary.formats.saelens import CONFIG_FILE
from sae.evaluation.evaluating import DICTIONARY, LONGEST_DOCUMENT, Evaluation
from sae.host.host import HostModel
from sae.written_whole import written_whole

__all__ = ["saebench_core", "write_saebench_core"]

NONE = -1.0
ROWS = 2048
"""Features whose cosines with all others are held at a time."""
NOTES = {
    "explained_variance": "pooled, about the mean of all tokens",
    "explained_variance_legacy": "mean of each token's ratio, about one mean instead of each batch's",
    "mse": "mean over tokens and dimensions; SAEBench divides a token's squared error by the tokens of its batch",
    "l2_ratio": "mean |x_hat| over mean |x| instead of the mean of ratios",
    "ce_loss_with_ablation": "zero ablation of all tokens but special ones",
    "l1": "not measured",
}
"""By metric what it means here, where SAEBench means something else."""


def saebench_core(evaluation: Evaluation, sae: SAE, host: HostModel, *, corpus: str) -> dict[str, Any]:
    """The results of one dictionary.

    Args:
        evaluation: What was found.
        sae: The dictionary.
        host: Its host.
        corpus: SPEC of the text.
    """
    return {
        "eval_type_id": "core",
        "eval_config": {
            "model_name": host.name,
            "llm_dtype": str(host.dtype).removeprefix("torch."),
            "dataset": corpus,
            "context_size": min(host.context_length, LONGEST_DOCUMENT),
            "compute_kl": True,
            "compute_ce_loss": True,
            "compute_l2_norms": True,
            "compute_sparsity_metrics": True,
            "compute_variance_metrics": True,
            "compute_featurewise_density_statistics": True,
            "compute_featurewise_weight_based_metrics": True,
            "exclude_special_tokens_from_reconstruction": True,
        },
        "eval_id": str(uuid.uuid4()),
        "datetime_epoch_millis": int(time.time() * 1000),
        "eval_result_metrics": _metrics(evaluation, sae),
        "eval_result_details": list(_features(evaluation, sae)),
        "eval_result_unstructured": {"measured_by": "domain-circuits", "definitions": NOTES},
        "sae_bench_commit_hash": "none, measured by domain-circuits",
        "sae_lens_id": None if sae.path is None else sae.path.name,
        "sae_lens_release_id": None if sae.path is None else sae.path.resolve().parent.name,
        "sae_lens_version": None,
        "sae_cfg_dict": _saelens_config(sae),
    }


def write_saebench_core(result: dict[str, Any], path: Path) -> None:
    """Write results; a number that is not finite is an error."""
    with written_whole(path) as part:
        part.write_text(json.dumps(result, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _metrics(evaluation: Evaluation, sae: SAE) -> dict[str, dict[str, float | int]]:
    text, tables = evaluation.table.text, evaluation.table.dictionaries
    own, zero = tables[DICTIONARY], tables["zero"]
    n_tokens, n_predictions = float(text.n_tokens.sum()), float(text.n_predictions.sum())

    def measured(metric: str) -> float:
        value = evaluation.measurement(metric).value
        return NONE if value is None else value

    kl, kl_zero = (_ratio(float(each.divergence.sum()), n_predictions) for each in (own, zero))
    ce_plain, ce, ce_zero = (_ratio(float(each.cross_entropy.sum()), n_predictions) for each in (text, own, zero))
    return {
        "model_behavior_preservation": {
            "kl_div_score": _ratio(kl_zero - kl, kl_zero),
            "kl_div_with_ablation": kl_zero,
            "kl_div_with_sae": kl,
        },
        "model_performance_preservation": {
            "ce_loss_score": measured("recovered_from_zero"),
            "ce_loss_with_ablation": ce_zero,
            "ce_loss_with_sae": ce,
            "ce_loss_without_sae": ce_plain,
        },
        "reconstruction_quality": {
            "explained_variance": measured("explained_variance"),
            "explained_variance_legacy": measured("explained_variance_of_tokens"),
            "mse": float(own.squared_error.sum()) / (n_tokens * sae.d_model),
            "cossim": measured("cosine"),
        },
        "shrinkage": {
            "l2_norm_in": float(text.x_norm.sum()) / n_tokens,
            "l2_norm_out": float(own.x_hat_norm.sum()) / n_tokens,
            "l2_ratio": measured("l2_ratio"),
            "relative_reconstruction_bias": measured("relative_bias"),
        },
        "sparsity": {"l0": measured("l0"), "l1": NONE},
        "token_stats": {
            "total_tokens_eval_reconstruction": int(n_predictions),
            "total_tokens_eval_sparsity_variance": int(n_tokens),
        },
        "misc_metrics": _feature_use(evaluation, sae),
    }


def _feature_use(evaluation: Evaluation, sae: SAE) -> dict[str, float]:
    density = _density(evaluation)

    def share_of_firings(above: float) -> float:
        return float(density[density > above].sum() / density.sum()) if density.any() else 0.0

    return {
        "freq_over_1_percent": float((density > 0.01).double().mean()),
        "freq_over_10_percent": float((density > 0.1).double().mean()),
        "normalized_freq_over_1_percent": share_of_firings(0.01),
        "normalized_freq_over_10_percent": share_of_firings(0.1),
        "average_max_encoder_cosine_sim": float(_largest_cosines(sae.W_enc.T).mean()),
        "average_max_decoder_cosine_sim": float(_largest_cosines(sae.W_dec).mean()),
        "frac_alive": float((density > 0).double().mean()),
    }


def _features(evaluation: Evaluation, sae: SAE) -> Iterator[dict[str, float | int]]:
    """One record a feature; in a document where it fires at all, `consistent_activation_heuristic` is how often."""
    own = evaluation.table.dictionaries[DICTIONARY]
    per_document = torch.where(own.fire_documents > 0, own.fire_counts / own.fire_documents.clamp(min=1), NONE)
    columns = {
        "feature_density": _density(evaluation),
        "consistent_activation_heuristic": per_document,
        "encoder_bias": sae.b_enc,
        "encoder_norm": sae.W_enc.norm(dim=0),
        "encoder_decoder_cosine_sim": (normalize(sae.W_enc.T) * normalize(sae.W_dec)).sum(1),
        "max_decoder_cosine_sim": _largest_cosines(sae.W_dec),
        "max_encoder_cosine_sim": _largest_cosines(sae.W_enc.T),
    }
    lists = {name: [round(value, 6) for value in column.tolist()] for name, column in columns.items()}
    for feature in range(sae.d_sae):
        yield {"index": feature, **{name: values[feature] for name, values in lists.items()}}


def _density(evaluation: Evaluation) -> Float[Tensor, " d_sae"]:
    counts = evaluation.table.dictionaries[DICTIONARY].fire_counts.double()
    return counts / evaluation.table.text.n_tokens.sum()


def _largest_cosines(rows: Float[Tensor, "d_sae d_model"]) -> Float[Tensor, " d_sae"]:
    """Of each row the largest cosine with another one; -1 where it is alone."""
    unit = normalize(rows.float())
    found = []
    for start in range(0, len(unit), ROWS):
        cosines = unit[start : start + ROWS] @ unit.T
        cosines.diagonal(start).fill_(NONE)
        found.append(cosines.amax(1))
    return torch.cat(found)


def _ratio(numerator: float, denominator: float) -> float:
    ratio = numerator / denominator if denominator else math.nan
    return ratio if math.isfinite(ratio) else NONE


def _saelens_config(sae: SAE) -> dict[str, Any] | None:
    """As SAELens keeps it beside the weights, where it does."""
    file = None if sae.path is None else sae.path / CONFIG_FILE
    if file is None or not file.is_file():
        return None
    config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return config
