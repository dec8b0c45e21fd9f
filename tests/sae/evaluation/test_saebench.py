"""Results in SAEBench's layout: checked by a schema of our own, and number by number against the plain tensors."""

import json

import jsonschema
import pytest
import torch
from click.testing import CliRunner
from evaluation_cases import SITE, at_site, texts
from tiny_models import random_sae, save_tiny_llama

from sae import evaluate
from sae.cli import main
from sae.evaluation.degenerate import identity_sae
from sae.evaluation.evaluating import read_documents
from sae.evaluation.saebench import saebench_core, write_saebench_core

NUMBER = {"type": "number"}
COUNT = {"type": "integer", "minimum": 0}
TEXT_OR_NOTHING = {"type": ["string", "null"]}
CATEGORIES = {
    "model_behavior_preservation": ["kl_div_score", "kl_div_with_ablation", "kl_div_with_sae"],
    "model_performance_preservation": [
        "ce_loss_score",
        "ce_loss_with_ablation",
        "ce_loss_with_sae",
        "ce_loss_without_sae",
    ],
    "reconstruction_quality": ["explained_variance", "explained_variance_legacy", "mse", "cossim"],
    "shrinkage": ["l2_norm_in", "l2_norm_out", "l2_ratio", "relative_reconstruction_bias"],
    "sparsity": ["l0", "l1"],
    "token_stats": ["total_tokens_eval_reconstruction", "total_tokens_eval_sparsity_variance"],
    "misc_metrics": [
        "freq_over_1_percent",
        "freq_over_10_percent",
        "normalized_freq_over_1_percent",
        "normalized_freq_over_10_percent",
        "average_max_encoder_cosine_sim",
        "average_max_decoder_cosine_sim",
        "frac_alive",
    ],
}
OF_FEATURES = [
    "feature_density",
    "consistent_activation_heuristic",
    "encoder_bias",
    "encoder_norm",
    "encoder_decoder_cosine_sim",
    "max_decoder_cosine_sim",
    "max_encoder_cosine_sim",
]


def exactly(properties):
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


SCHEMA = exactly(
    {
        "eval_type_id": {"const": "core"},
        "eval_config": {"type": "object", "required": ["model_name", "llm_dtype", "dataset", "context_size"]},
        "eval_id": {"type": "string", "pattern": "^[0-9a-f-]{36}$"},
        "datetime_epoch_millis": {"type": "integer", "minimum": 1_500_000_000_000, "maximum": 9_999_999_999_999},
        "eval_result_metrics": exactly(
            {
                category: exactly(dict.fromkeys(names, COUNT if category == "token_stats" else NUMBER))
                for category, names in CATEGORIES.items()
            }
        ),
        "eval_result_details": {
            "type": "array",
            "items": exactly({"index": COUNT, **dict.fromkeys(OF_FEATURES, NUMBER)}),
        },
        "eval_result_unstructured": {"type": "object"},
        "sae_bench_commit_hash": {"type": "string"},
        "sae_lens_id": TEXT_OR_NOTHING,
        "sae_lens_release_id": TEXT_OR_NOTHING,
        "sae_lens_version": TEXT_OR_NOTHING,
        "sae_cfg_dict": {"type": ["object", "null"]},
    }
)


@pytest.fixture(scope="module")
def dictionary():
    return at_site(random_sae(seed=3))


@pytest.fixture(scope="module")
def found(tiny_host, dictionary):
    evaluation = evaluate(dictionary, tiny_host, texts(), n_tokens=200, nulls=["zero"])
    return saebench_core(evaluation, dictionary, tiny_host, corpus="some text")


@pytest.fixture(scope="module")
def tokens(tiny_host):
    """Activations of the tokens that count, document by document."""
    batches = [tiny_host.batch([each.ids]) for each in read_documents(tiny_host, texts(), n_tokens=200)]
    return [tiny_host.capture(batch, [SITE])[SITE][batch.node_mask].double() for batch in batches]


def test_the_layout_is_that_of_the_schema(found):
    jsonschema.validate(found, SCHEMA)
    assert [each["index"] for each in found["eval_result_details"]] == list(range(64))


def test_the_schema_can_fail(found):
    for broken in ({**found, "eval_type_id": "absorption"}, {k: v for k, v in found.items() if k != "eval_id"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, SCHEMA)


def test_numbers_are_those_of_the_plain_tensors(found, dictionary, tokens):
    x = torch.cat(tokens)
    acts = dictionary.encode(x.float())
    error = x - dictionary.decode(acts).double()
    metrics = found["eval_result_metrics"]

    quality = metrics["reconstruction_quality"]
    assert quality["mse"] == pytest.approx(float(error.square().mean()), rel=1e-4)
    assert quality["explained_variance"] == pytest.approx(
        float(1 - error.square().sum() / (x - x.mean(0)).square().sum()), rel=1e-4
    )
    assert metrics["shrinkage"]["l2_norm_in"] == pytest.approx(float(x.norm(dim=1).mean()), rel=1e-4)
    assert metrics["shrinkage"]["l2_norm_out"] == pytest.approx(float((x - error).norm(dim=1).mean()), rel=1e-4)
    assert metrics["sparsity"]["l0"] == pytest.approx(float((acts > 0).double().sum(1).mean()))
    assert metrics["token_stats"]["total_tokens_eval_sparsity_variance"] == len(x)


def test_use_of_features_is_counted(found, dictionary, tokens):
    fired = [dictionary.encode(each.float()) > 0 for each in tokens]
    density = torch.cat(fired).double().mean(0)
    use = found["eval_result_metrics"]["misc_metrics"]
    assert use["frac_alive"] == pytest.approx(float((density > 0).double().mean()))
    assert use["freq_over_10_percent"] == pytest.approx(float((density > 0.1).double().mean()))
    assert use["normalized_freq_over_10_percent"] == pytest.approx(float(density[density > 0.1].sum() / density.sum()))
    for feature in (0, 7, 63):
        own = [int(each[:, feature].sum()) for each in fired if each[:, feature].any()]
        details = found["eval_result_details"][feature]
        assert details["feature_density"] == pytest.approx(float(density[feature]), abs=1e-6)
        assert details["consistent_activation_heuristic"] == pytest.approx(
            sum(own) / len(own) if own else -1.0, abs=1e-5
        )


def test_weights_are_compared_in_pairs(found, dictionary):
    rows = torch.nn.functional.normalize(dictionary.W_dec)
    encoder = torch.nn.functional.normalize(dictionary.W_enc.T)
    for feature in (0, 31):
        details = found["eval_result_details"][feature]
        others = [float(rows[feature] @ rows[other]) for other in range(64) if other != feature]
        assert details["max_decoder_cosine_sim"] == pytest.approx(max(others), abs=1e-5)
        assert details["encoder_decoder_cosine_sim"] == pytest.approx(float(encoder[feature] @ rows[feature]), abs=1e-5)


def test_a_perfect_dictionary_scores_one(tiny_host):
    sae = at_site(identity_sae(32))
    evaluation = evaluate(sae, tiny_host, texts(), n_tokens=200, nulls=["zero"])
    metrics = saebench_core(evaluation, sae, tiny_host, corpus="some text")["eval_result_metrics"]
    for category, name in (
        ("model_behavior_preservation", "kl_div_score"),
        ("model_performance_preservation", "ce_loss_score"),
        ("reconstruction_quality", "explained_variance"),
        ("shrinkage", "l2_ratio"),
    ):
        assert metrics[category][name] == pytest.approx(1, abs=1e-4)
    assert metrics["sparsity"]["l1"] == -1  # SAEBench's sign for what there is no number of


def test_it_is_written_whole(found, tmp_path):
    path = tmp_path / "deep" / "core.json"
    write_saebench_core(found, path)
    assert json.loads(path.read_text(encoding="utf-8")) == found


def test_the_command_writes_it(tmp_path):
    save_tiny_llama(tmp_path / "host")
    at_site(random_sae(seed=3)).save(tmp_path / "sae")
    (tmp_path / "text.txt").write_text("\n\n".join(each.text for each in texts()), encoding="utf-8")
    path = tmp_path / "core.json"

    def run(out, *args):
        given = [str(tmp_path / "sae"), "--model", str(tmp_path / "host"), "--corpus", str(tmp_path / "text.txt")]
        wanted = ["--tokens", "100", "--nulls", "zero", "--out", str(tmp_path / out), "--saebench", str(path)]
        return CliRunner().invoke(main, ["evaluate", *given, *wanted, *args])

    result = run("first")
    assert result.exit_code == 0, result.stderr
    written = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(written, SCHEMA)
    assert (written["sae_lens_id"], written["sae_cfg_dict"]["d_sae"]) == ("sae", 64)
    again = run("second")
    assert (again.exit_code, again.stderr.startswith("Error: output")) == (1, True)
    assert run("second", "--force").exit_code == 0
