"""Gemma Scope and Llama Scope: small files of their layouts, with the answers of their definitions."""

import numpy as np
import pytest
import torch
from release_layouts import gemma_2_directory, gemma_directory, llama_directory

from sae.dictionary.autoencoder import SAE
from sae.dictionary.formats.gemma_scope import write_gemma_scope
from sae.host.sites import Site


def test_gemma_scope_is_read_unchanged_and_its_folders_name_the_site(sae, tmp_path):
    loaded = SAE.load(gemma_directory(tmp_path, sae))

    assert loaded.content_hash == sae.content_hash
    assert loaded.site == Site("resid_post", 20)


def test_attention_sae_of_gemma_scope_has_no_site(sae, tmp_path):
    path = gemma_directory(tmp_path, sae)
    path.parents[2].rename(tmp_path / "gemma-scope-2b-pt-att")

    assert SAE.load(tmp_path / "gemma-scope-2b-pt-att" / path.relative_to(path.parents[2])).site is None


def test_gemma_scope_2_is_read_unchanged_and_its_config_names_the_site(sae, tmp_path):
    loaded = SAE.load(gemma_2_directory(tmp_path, sae))

    assert loaded.content_hash == sae.content_hash
    assert (loaded.site, loaded.metadata["model_name"]) == (Site("resid_post", 9), "gemma-v3-1b-pt")


def test_what_is_written_as_gemma_scope_is_read_without_loss(sae, tmp_path):
    write_gemma_scope(tmp_path, sae.stored())

    assert [path.name for path in tmp_path.iterdir()] == ["params.npz"]
    assert SAE.load(tmp_path).content_hash == sae.content_hash


def test_a_top_k_sae_cannot_be_written_as_gemma_scope(top_k_sae, tmp_path):
    with pytest.raises(ValueError, match=r"TopK SAE \(k 4\) has no thresholds"):
        write_gemma_scope(tmp_path, top_k_sae.stored())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": ...}, r"hold \['W_dec', 'W_enc', 'b_dec', 'b_enc'\], expected .*'threshold'"),
        ({"W_skip": np.zeros((8, 8))}, r"hold .*'W_skip'"),
        ({"b_enc": np.array(["a"] * 32)}, r"b_enc of .* is an array of <U1"),
        ({"b_enc": np.array([{}] * 32)}, r"params.npz is truncated or no npz file of plain arrays \(Object arrays"),
        ({"b_dec": np.full(8, np.nan)}, r"b_dec of .* has NaN"),
        ({"threshold": np.full(32, -0.5)}, r"has 32 negative entries"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(sae, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        SAE.load(gemma_directory(tmp_path, sae, **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept_bytes", [0, 10, 2000])
def test_a_truncated_npz_is_one_line(sae, tmp_path, kept_bytes):
    file = gemma_directory(tmp_path, sae) / "params.npz"
    file.write_bytes(file.read_bytes()[:kept_bytes])

    with pytest.raises(ValueError, match=r"params.npz is truncated or no npz file"):
        SAE.load(file.parent)


def test_a_single_array_is_no_npz(sae, tmp_path):
    path = gemma_directory(tmp_path, sae)
    with (path / "params.npz").open("wb") as file:
        np.save(file, np.zeros(3))

    with pytest.raises(ValueError, match=r"params.npz is truncated or no npz file"):
        SAE.load(path)


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        ({"architecture": "topk"}, {}, "architecture 'topk', expected jump_relu"),
        ({"hf_hook_point_out": "elsewhere"}, {}, "is a transcoder from 'model.layers.9.output' to 'elsewhere'"),
        ({}, {"affine_skip_connection": torch.zeros(8, 8)}, r"hold .*'affine_skip_connection'"),
    ],
)
def test_other_kinds_of_gemma_scope_2_are_refused(sae, tmp_path, config, changes, message):
    with pytest.raises(ValueError, match=message):
        SAE.load(gemma_2_directory(tmp_path, sae, config=config, **changes))


def test_llama_scope_scales_its_input_and_has_one_threshold_in_units_of_the_host(sae, tmp_path, x):
    loaded = SAE.load(llama_directory(tmp_path, sae))

    scale = 8**0.5 / 5
    pre_acts = scale * x @ sae.W_enc + sae.b_enc
    feature_acts = pre_acts.relu() * (pre_acts > 0.4 * scale)
    torch.testing.assert_close(loaded.encode(x), feature_acts, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(loaded.decode(feature_acts), (feature_acts @ sae.W_dec + sae.b_dec) / scale)
    assert loaded.site == Site("resid_post", 15)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset_average_activation_norm": None}, r"hyperparams.json has in None, expected a number above 0"),
        ({"jump_relu_threshold": 0.0}, r"has jump_relu_threshold 0.0, expected a number above 0"),
        ({"hook_point_out": "blocks.15.hook_mlp_out"}, r"is a transcoder to 'blocks.15.hook_mlp_out'"),
        ({"d_sae": 33}, r"has shape .*, expected .* for d_model 8 and d_sae 33"),
    ],
)
def test_a_llama_scope_config_that_does_not_fit_is_refused(sae, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        SAE.load(llama_directory(tmp_path, sae, **changes))


def test_a_directory_of_no_layout_is_no_sae(tmp_path):
    (tmp_path / "config.json").write_text("{}")

    with pytest.raises(ValueError, match=r"is no SAE: expected a directory with cfg\.json and .*\(saelens\), .*ae\.pt"):
        SAE.load(tmp_path)
