"""SAELens directories: what is written is what is read, by us and by sae-lens; damage is one clear line."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site


@pytest.fixture
def saved(sae, tmp_path):
    sae.save(tmp_path / "sae")
    return tmp_path / "sae"


def change_config(directory, **changes):
    file = directory / "cfg.json"
    config = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))


def change_tensors(directory, **changes):
    file = directory / "sae_weights.safetensors"
    tensors = load_file(file) | changes
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not ...}, file)


def test_loading_gives_the_rounded_weights_and_the_exact_threshold(sae, saved):
    loaded = SAE.load(saved)

    assert loaded.content_hash == sae.rounded().content_hash
    assert torch.equal(loaded.threshold, sae.threshold)
    assert torch.equal(loaded.b_enc, sae.b_enc)
    assert loaded.encoder_rows.dtype == torch.float32
    assert (loaded.site, loaded.path) == (Site("mlp_out", 3), saved)


def test_float32_weights_survive_unrounded(sae, tmp_path):
    sae.save(tmp_path, weight_dtype=torch.float32)

    assert SAE.load(tmp_path).content_hash == sae.content_hash


def test_a_top_k_dictionary_survives(top_k_sae, tmp_path):
    top_k_sae.save(tmp_path, weight_dtype=torch.float32)

    loaded = SAE.load(tmp_path)

    assert (loaded.top_k, loaded.content_hash) == (4, top_k_sae.content_hash)
    assert sorted(load_file(tmp_path / "sae_weights.safetensors")) == ["W_dec", "W_enc", "b_dec", "b_enc"]


def test_save_load_save_writes_the_same_bytes(saved, tmp_path):
    SAE.load(saved).save(tmp_path / "again")

    names = sorted(path.name for path in saved.iterdir())
    assert names == ["cfg.json", "sae_weights.safetensors"] == sorted(p.name for p in (tmp_path / "again").iterdir())
    assert all((saved / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)


def test_config_names_the_hook_and_keeps_our_record(saved):
    config = json.loads((saved / "cfg.json").read_text())

    assert config["metadata"]["hook_name"] == "blocks.3.hook_mlp_out"
    assert config["metadata"]["hf_hook_name"] == "model.layers.3.mlp"
    assert config["metadata"]["domain_circuits"] == {"site": "mlp_out.3", "training": {"k": 4}}
    assert (config["architecture"], config["dtype"], config["apply_b_dec_to_input"]) == (
        "jumprelu",
        "float32",
        False,
    )


def test_another_weight_precision_is_refused(sae, tmp_path):
    with pytest.raises(ValueError, match=r"weight_dtype is torch.float16, expected torch.bfloat16"):
        sae.save(tmp_path, weight_dtype=torch.float16)


def test_a_path_that_cannot_be_written_is_one_line(sae, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(ValueError, match=r"output .* is not writable"):
        sae.save(tmp_path / "file" / "sae")


def test_a_relu_sae_with_input_bias_becomes_jump_relu_with_threshold_zero(saved):
    change_tensors(saved, threshold=...)
    change_config(saved, architecture="standard", apply_b_dec_to_input=True)
    tensors = load_file(saved / "sae_weights.safetensors")
    x = torch.randn(5, 8)

    relu = ((x - tensors["b_dec"]) @ tensors["W_enc"].float() + tensors["b_enc"]).relu()

    torch.testing.assert_close(SAE.load(saved).encode(x), relu)


def test_an_omitted_input_bias_option_means_true_as_in_sae_lens(saved):
    change_config(saved, apply_b_dec_to_input=...)

    assert not torch.equal(SAE.load(saved).b_enc, load_file(saved / "sae_weights.safetensors")["b_enc"])


def test_a_top_k_sae_from_before_version_6_is_read(saved):
    change_tensors(saved, threshold=...)
    change_config(saved, architecture=..., activation_fn_str="topk", activation_fn_kwargs={"k": 3})

    assert SAE.load(saved).top_k == 3


def test_the_old_log_threshold_and_a_scaling_factor_of_ones_are_understood(saved):
    threshold = load_file(saved / "sae_weights.safetensors")["threshold"]

    change_tensors(saved, threshold=..., log_threshold=threshold.log(), scaling_factor=torch.ones(32))

    torch.testing.assert_close(SAE.load(saved).threshold, threshold)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "gated"}, "architecture 'gated', expected one of standard, topk, jumprelu, batchtopk"),
        ({"architecture": "topk"}, r"architecture topk with k None, expected an integer from 1 to d_sae, 32"),
        ({"architecture": "topk", "k": 33}, "with k 33, expected an integer from 1 to d_sae, 32"),
        ({"normalize_activations": "layer_norm"}, "normalize_activations 'layer_norm', expected none or expected"),
        ({"normalize_activations": "expected_average_only_in"}, "but no activation_scaler.json"),
        ({"normalize_activations": True}, "normalize_activations True but no activation_scaler.json"),
        ({"reshape_activations": "hook_z"}, "reshape_activations 'hook_z', expected none"),
        ({"activation_fn_str": "tanh-relu"}, "activation_fn 'tanh-relu', expected relu"),
        (
            {"architecture": "standard"},
            r"hold \['W_dec', .*'threshold'\], expected \['W_dec', 'W_enc', 'b_dec', 'b_enc'\]",
        ),
        ({"d_in": 9}, r"W_enc of .* has shape \(8, 32\), expected \(9, 32\) for d_model 9 and d_sae 32"),
        ({"d_in": ...}, "lacks d_in or d_sae"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(saved, changes, message):
    change_config(saved, **changes)

    with pytest.raises(ValueError, match=message) as caught:
        SAE.load(saved)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"b_dec": torch.full((8,), float("nan"))}, r"b_dec of .* has NaN or infinite entries"),
        ({"threshold": torch.full((32,), float("inf"))}, r"threshold of .* has NaN or infinite entries"),
        ({"threshold": torch.linspace(-1, 1, 32)}, r"has 16 negative entries \(lowest -1\), expected every entry >= 0"),
        ({"threshold": torch.zeros(31)}, r"threshold of .* has shape \(31,\), expected \(32,\)"),
        ({"W_enc": torch.zeros(32, 8)}, r"W_enc of .* has shape \(32, 8\), expected \(8, 32\)"),
        ({"W_dec": torch.zeros(8)}, r"W_dec of .* has shape \(8,\), expected \(d_sae, d_model\)"),
        ({"b_enc": ...}, r"hold .*, expected \['W_dec', 'W_enc', 'b_dec', 'b_enc', 'threshold'\]"),
        ({"W_skip": torch.zeros(8, 8)}, r"hold .*'W_skip'.*, expected"),
        ({"scaling_factor": torch.full((32,), 2.0)}, r"hold .*'scaling_factor'.*, expected"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_by_name(saved, changes, message):
    change_tensors(saved, **changes)

    with pytest.raises(ValueError, match=message) as caught:
        SAE.load(saved)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scale", ["1.0", 0, -2.0, float("inf"), float("nan")])
def test_a_scale_that_is_no_factor_is_refused(saved, scale):
    change_config(saved, normalize_activations="expected_average_only_in")
    (saved / "activation_scaler.json").write_text(json.dumps({"scaling_factor": scale}))

    with pytest.raises(ValueError, match=r"activation_scaler.json has scaling_factor .*, expected a number above 0"):
        SAE.load(saved)


@pytest.mark.parametrize("kept_bytes", [0, 7, 100, 1500])
def test_truncated_weights_are_one_line(saved, kept_bytes):
    weights = saved / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept_bytes])

    with pytest.raises(ValueError, match=r"sae_weights.safetensors is truncated or no safetensors file"):
        SAE.load(saved)


@pytest.mark.parametrize("text", ['{"architecture": "jump', "[]", "", "[" * 100_000])
def test_damaged_config_is_one_line(saved, text):
    (saved / "cfg.json").write_text(text)

    with pytest.raises(ValueError, match=r"cfg.json (is not valid JSON|holds a list)"):
        SAE.load(saved)
