"""dictionary_learning directories: each class gives the numbers of its own definition, and no pickle is run."""

import json
from pathlib import Path

import pytest
import torch
from release_layouts import dictionary_learning_directory

from sae.dictionary.autoencoder import SAE
from sae.dictionary.formats.dictionary_learning import write_dictionary_learning
from sae.host.sites import Site


def expected_acts(field: dict[str, torch.Tensor], dict_class: str, x: torch.Tensor) -> torch.Tensor:
    """The definitions of the library's `dictionary.py` and `trainers/`."""
    plain = dict_class in ("AutoEncoderNew", "JumpReluAutoEncoder")
    relu = ((x if plain else x - field["b_dec"]) @ field["W_enc"] + field["b_enc"]).relu()
    if dict_class in ("AutoEncoder", "AutoEncoderNew"):
        return relu
    if dict_class == "AutoEncoderTopK":
        return torch.where(relu >= relu.topk(4, dim=-1).values[..., -1:], relu, 0)
    return relu * (relu > field["threshold"])


CLASSES = (
    "AutoEncoder",
    "AutoEncoderNew",
    "AutoEncoderTopK",
    "BatchTopKSAE",
    "MatryoshkaBatchTopKSAE",
    "JumpReluAutoEncoder",
)


@pytest.mark.parametrize("dict_class", CLASSES)
def test_every_class_gives_the_numbers_of_its_definition(dict_class, tmp_path, x):
    field = dictionary_learning_directory(tmp_path, dict_class)

    sae = SAE.load(tmp_path)

    torch.testing.assert_close(sae.encode(x), expected_acts(field, dict_class, x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(sae.decode(torch.zeros(32)), field["b_dec"])
    assert (sae.site, sae.top_k) == (Site("resid_post", 3), 4 if dict_class == "AutoEncoderTopK" else None)
    assert sae.metadata["model_name"] == "EleutherAI/pythia-70m"


@pytest.mark.parametrize(
    ("module", "site"),
    [
        ("resid_post_layer_3", Site("resid_post", 3)),
        ("mlp_out_layer_3", Site("mlp_out", 3)),
        ("attention_layer_3", Site("attn_out", 3)),
        (None, Site("resid_post", 3)),
        ("embedding", None),
    ],
)
def test_the_site_is_read_from_the_name_of_the_module(module, site, tmp_path):
    dictionary_learning_directory(tmp_path, "JumpReluAutoEncoder")
    config = json.loads((tmp_path / "config.json").read_text())
    config["trainer"]["submodule_name"] = module
    (tmp_path / "config.json").write_text(json.dumps(config))

    assert SAE.load(tmp_path).site == site


def test_what_is_written_is_read_without_loss(sae, tmp_path):
    write_dictionary_learning(tmp_path, sae.stored())

    loaded = SAE.load(tmp_path)

    assert (loaded.content_hash, loaded.site) == (sae.content_hash, sae.site)
    assert loaded.metadata["domain_circuits"]["training"] == {"k": 4}


def test_a_written_top_k_dictionary_selects_as_their_encoder_does(top_k_sae, tmp_path, x):
    write_dictionary_learning(tmp_path, top_k_sae.stored())
    state = torch.load(tmp_path / "ae.pt", weights_only=True)

    relu = ((x - state["b_dec"]) @ state["encoder.weight"].T + state["encoder.bias"]).relu()
    theirs = torch.where(relu >= relu.topk(int(state["k"]), dim=-1).values[..., -1:], relu, 0)

    torch.testing.assert_close(theirs, top_k_sae.encode(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(SAE.load(tmp_path).encode(x), top_k_sae.encode(x), rtol=1e-4, atol=1e-4)


class Payload:
    """What a malicious pickle does when it is opened."""

    def __reduce__(self):
        return Path.touch, (Path("opened"),)


def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dictionary_learning_directory(tmp_path, "JumpReluAutoEncoder", W_enc=Payload())

    with pytest.raises(
        ValueError, match=r"ae.pt is truncated, damaged or holds more than plain tensors \(Weights only"
    ):
        SAE.load(tmp_path)
    assert not Path("opened").exists()


@pytest.mark.parametrize("kept_bytes", [0, 5, 300, 3000])
def test_truncated_weights_are_one_line(kept_bytes, tmp_path):
    dictionary_learning_directory(tmp_path, "JumpReluAutoEncoder")
    (tmp_path / "ae.pt").write_bytes((tmp_path / "ae.pt").read_bytes()[:kept_bytes])

    with pytest.raises(ValueError, match=r"ae.pt is truncated, damaged or holds more") as caught:
        SAE.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_backup_of_unfinished_training_is_refused(tmp_path):
    dictionary_learning_directory(tmp_path, "JumpReluAutoEncoder", optimizer={"state": 1})

    with pytest.raises(ValueError, match=r"no state dict of tensors; a backup of unfinished training"):
        SAE.load(tmp_path)


@pytest.mark.parametrize(
    ("dict_class", "changes", "message"),
    [
        ("GatedAutoEncoder", {}, r"dict_class 'GatedAutoEncoder', expected one of AutoEncoder, AutoEncoderNew"),
        ("BatchTopKSAE", {"extra": torch.zeros(1)}, r"hold .*'extra'.*, expected .*'encoder.weight'"),
        ("BatchTopKSAE", {"threshold": torch.tensor(-1.0)}, r"threshold of .* has 32 negative entries \(lowest -1\)"),
        ("AutoEncoder", {"bias": torch.zeros(7)}, r"b_dec of .* has shape \(7,\), expected \(8,\)"),
        ("AutoEncoder", {"encoder.bias": torch.full((32,), float("nan"))}, r"b_enc of .* has NaN"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(dict_class, changes, message, tmp_path):
    dictionary_learning_directory(tmp_path, dict_class, **changes)

    with pytest.raises(ValueError, match=message):
        SAE.load(tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "has no object 'trainer'"),
        (
            {"trainer": {"dict_class": "AutoEncoderTopK"}},
            r"has k None, expected an integer from 1 to its dict_size, 32",
        ),
        ({"trainer": {"dict_class": "AutoEncoderTopK", "dict_size": 64}}, r"b_enc .* expected \(64,\)|W_enc .* 64"),
    ],
)
def test_a_config_that_lacks_what_is_needed_is_refused(config, message, tmp_path):
    dictionary_learning_directory(tmp_path, "AutoEncoderTopK")
    (tmp_path / "config.json").write_text(json.dumps(config))

    with pytest.raises(ValueError, match=message):
        SAE.load(tmp_path)
