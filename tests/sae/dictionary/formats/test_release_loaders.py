"""Releases of other groups: sae-lens's own loaders and ours, on the same small files, give the same SAE."""

import json
from pathlib import Path

import pytest
import torch
from release_layouts import dictionary_learning_directory, gemma_2_directory, gemma_directory, llama_directory

from sae.dictionary.autoencoder import SAE
from sae.dictionary.formats.dictionary_learning import write_dictionary_learning
from sae.dictionary.releases import load_pretrained

sae_lens = pytest.importorskip("sae_lens")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def released(monkeypatch):
    """Pretend that a local directory is a release with a given loader; sae-lens does everything but the download."""
    from sae_lens.loading import pretrained_sae_loaders as loaders
    from sae_lens.saes import sae as module

    def release(path: Path, loader: str, *, repository="group/repository", folder="folder", overrides=None, scale=None):
        def download(repo_id=None, filename=None, subfolder=None, **_):
            file = path / f"{subfolder or ''}/{filename}".replace(folder, "").lstrip("/")
            if not file.exists():
                raise loaders.EntryNotFoundError(str(file))
            return str(file)

        entry = type("Entry", (), {"saes_map": {"id": folder}})()
        monkeypatch.setattr(loaders, "hf_hub_download", download)
        monkeypatch.setattr(module, "get_pretrained_saes_directory", lambda: {"release": entry})
        monkeypatch.setattr(module, "get_conversion_loader_name", lambda name: loader)
        monkeypatch.setattr(module, "get_repo_id_and_folder_name", lambda name, sae_id: (repository, folder))
        monkeypatch.setattr(module, "get_config_overrides", lambda name, sae_id: dict(overrides or {}))
        monkeypatch.setattr(module, "get_norm_scaling_factor", lambda name, sae_id: scale)
        return load_pretrained("release", "id")

    return release


def assert_same(released: SAE, local: SAE, x: torch.Tensor) -> None:
    feature_acts = local.encode(x)
    assert (feature_acts > 0).float().mean() > 0.02
    torch.testing.assert_close(released.encode(x), feature_acts, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(released.decode(feature_acts), local.decode(feature_acts), rtol=1e-4, atol=1e-4)
    assert (released.site, released.top_k) == (local.site, local.top_k)


def test_gemma_scope(released, sae, tmp_path, x):
    path, folder = gemma_directory(tmp_path, sae), "layer_20/width_16k/average_l0_71"
    sizes = {"d_in": 8, "d_sae": 32}

    theirs = released(path, "gemma_2", repository="google/gemma-scope-2b-pt-res", folder=folder, overrides=sizes)

    assert_same(theirs, SAE.load(path), x)


def test_gemma_scope_2(released, sae, tmp_path, x, monkeypatch):
    path, folder = gemma_2_directory(tmp_path, sae), "resid_post/layer_9_width_16k_l0_small"
    sizes = {"w_enc": [8, 32], "w_dec": [32, 8]}
    monkeypatch.setattr(
        sae_lens.loading.pretrained_sae_loaders, "get_safetensors_tensor_shapes", lambda repository, file: sizes
    )

    assert_same(released(path, "gemma_3", folder=folder), SAE.load(path), x)


def test_llama_scope(released, sae, tmp_path, x):
    path = llama_directory(tmp_path, sae)

    assert_same(released(path, "llama_scope", scale=8**0.5 / 5), SAE.load(path), x)


def test_llama_scope_without_the_scale_is_refused(released, sae, tmp_path):
    with pytest.raises(ValueError, match=r"release:id has normalize_activations 'expected_average_only_in'"):
        released(llama_directory(tmp_path, sae), "llama_scope")


@pytest.mark.parametrize(
    "dict_class",
    ["AutoEncoder", "AutoEncoderTopK", "BatchTopKSAE", "MatryoshkaBatchTopKSAE", "JumpReluAutoEncoder"],
)
def test_dictionary_learning(released, dict_class, tmp_path, x):
    dictionary_learning_directory(tmp_path, dict_class)

    assert_same(released(tmp_path, "dictionary_learning_1"), SAE.load(tmp_path), x)


@pytest.mark.parametrize("kind", ["sae", "top_k_sae"])
def test_what_we_write_for_dictionary_learning_sae_lens_reads(released, kind, request, tmp_path, x):
    ours = request.getfixturevalue(kind)
    write_dictionary_learning(tmp_path, ours.stored())

    theirs = released(tmp_path, "dictionary_learning_1")

    torch.testing.assert_close(theirs.encode(x), ours.encode(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(theirs.decode(ours.encode(x)), ours.decode(ours.encode(x)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["sae", "top_k_sae"])
def test_a_release_in_our_own_layout(released, kind, request, tmp_path, x):
    ours = request.getfixturevalue(kind)
    ours.save(tmp_path, weight_dtype=torch.float32)

    theirs = released(tmp_path, "sae_lens")

    assert_same(theirs, ours, x)
    assert json.loads((tmp_path / "cfg.json").read_text())["metadata"]["domain_circuits"]["site"] == str(theirs.site)
