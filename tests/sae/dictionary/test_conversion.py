"""Converting between layouts: nothing is lost, nothing is overwritten."""

import json

import pytest
import torch

from sae.dictionary.autoencoder import SAE
from sae.dictionary.conversion import convert
from sae.dictionary.labels import FeatureLabel, load_labels, save_labels
from sae.host.sites import Site


def random_sae(**changes) -> SAE:
    draw = torch.Generator().manual_seed(0)
    rows = [torch.randn(16, 4, generator=draw) for _ in range(2)]
    parts = {"encoder_rows": rows[0], "b_enc": torch.randn(16, generator=draw), "decoder_rows": rows[1]}
    parts |= {"b_dec": torch.randn(4, generator=draw), "threshold": torch.rand(16, generator=draw)}
    return SAE(**(parts | {"site": Site("resid_post", 2), "metadata": {"dataset_path": "texts"}} | changes))


def test_there_and_back_gives_the_same_dictionary_and_record(tmp_path):
    random_sae().save(tmp_path / "ours", weight_dtype=torch.float32)

    convert(tmp_path / "ours", tmp_path / "theirs", to="dictionary_learning")
    convert(tmp_path / "theirs", tmp_path / "back")

    assert SAE.load(tmp_path / "back").content_hash == random_sae().content_hash
    first, last = ((tmp_path / name / "cfg.json").read_text() for name in ("ours", "back"))
    assert json.loads(first) == json.loads(last)


def test_a_top_k_dictionary_stays_one(tmp_path):
    random_sae(top_k=3, threshold=torch.zeros(16)).save(tmp_path / "ours")

    convert(tmp_path / "ours", tmp_path / "theirs", to="dictionary_learning")

    assert convert(tmp_path / "theirs", tmp_path / "back").top_k == 3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_weights_that_bfloat16_holds_stay_bfloat16(tmp_path, dtype):
    random_sae().save(tmp_path / "ours", weight_dtype=dtype)

    convert(tmp_path / "ours", tmp_path / "copy")

    sizes = [(tmp_path / name / "sae_weights.safetensors").stat().st_size for name in ("ours", "copy")]
    assert sizes[0] == sizes[1]


def test_names_of_features_go_along(tmp_path):
    random_sae().save(tmp_path / "ours")
    save_labels(tmp_path / "ours", {3: FeatureLabel("pos:fever", 0.9)}, source="test")

    convert(tmp_path / "ours", tmp_path / "theirs", to="gemma_scope")

    assert load_labels(tmp_path / "theirs") == {3: FeatureLabel("pos:fever", 0.9)}


def test_an_unknown_layout_names_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="cannot convert to 'onnx', expected one of saelens, dictionary_learning"):
        convert(tmp_path, tmp_path / "out", to="onnx")


def test_nothing_is_overwritten(tmp_path):
    random_sae().save(tmp_path / "ours")

    with pytest.raises(ValueError, match=r"output .*ours' holds something already"):
        convert(tmp_path / "ours", tmp_path / "ours", to="dictionary_learning")


def test_a_source_that_is_no_sae_is_one_line(tmp_path):
    with pytest.raises(ValueError, match="is no SAE: expected a directory with"):
        convert(tmp_path / "nowhere", tmp_path / "out")
