"""SAELens directories: what is written is what is read, by us and by sae-lens; damage is one clear line."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site


@pytest.fixture
def sae() -> SAE:
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    return SAE(
        encoder_rows=draw(32, 8),
        b_enc=draw(32),
        decoder_rows=draw(32, 8),
        b_dec=draw(8),
        threshold=draw(32).abs(),
        site=Site("mlp_out", 3),
        metadata={"model_name": "clinic", "context_size": 256, "domain_circuits": {"training": {"k": 4}}},
    )


@pytest.fixture
def saved(sae, tmp_path):
    sae.save(tmp_path / "sae")
    return tmp_path / "sae"


def change_config(directory, **changes):
    file = directory / "cfg.json"
    config = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))


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


@pytest.mark.filterwarnings("ignore")
def test_sae_lens_reads_the_same_dictionary(saved):
    sae_lens = pytest.importorskip("sae_lens")
    theirs, ours = sae_lens.SAE.load_from_disk(str(saved)), SAE.load(saved)
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(1)) * 3

    feature_acts = ours.encode(x)

    assert (feature_acts > 0).float().mean() > 0.1
    torch.testing.assert_close(theirs.encode(x), feature_acts)
    torch.testing.assert_close(theirs.decode(feature_acts), ours.decode(feature_acts))
    assert theirs.cfg.metadata.domain_circuits["site"] == "mlp_out.3"


@pytest.mark.filterwarnings("ignore")
def test_reads_what_sae_lens_writes(tmp_path):
    sae_lens = pytest.importorskip("sae_lens")
    metadata = sae_lens.saes.sae.SAEMetadata(model_name="m", hook_name="blocks.1.hook_resid_post")
    config = sae_lens.StandardSAEConfig(d_in=8, d_sae=16, apply_b_dec_to_input=True, metadata=metadata)
    theirs = sae_lens.StandardSAE(config)
    with torch.no_grad():
        theirs.b_dec.normal_()
        theirs.b_enc.normal_()
    theirs.save_model(tmp_path)
    x = torch.randn(20, 8)

    ours = SAE.load(tmp_path)

    assert ours.site == Site("resid_post", 1)
    torch.testing.assert_close(ours.encode(x), theirs.encode(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.decode(ours.encode(x)), theirs(x), rtol=1e-4, atol=1e-5)


def test_a_relu_sae_with_input_bias_becomes_jump_relu_with_threshold_zero(saved):
    tensors = load_file(saved / "sae_weights.safetensors")
    del tensors["threshold"]
    save_file(tensors, saved / "sae_weights.safetensors")
    change_config(saved, architecture="standard", apply_b_dec_to_input=True)
    x = torch.randn(5, 8)

    relu = ((x - tensors["b_dec"]) @ tensors["W_enc"].float() + tensors["b_enc"]).relu()

    torch.testing.assert_close(SAE.load(saved).encode(x), relu)


def test_an_omitted_input_bias_option_means_true_as_in_sae_lens(saved):
    change_config(saved, apply_b_dec_to_input=...)

    assert not torch.equal(SAE.load(saved).b_enc, load_file(saved / "sae_weights.safetensors")["b_enc"])


def test_a_negative_threshold_reads_as_zero_because_relu_comes_first(saved):
    tensors = load_file(saved / "sae_weights.safetensors")
    tensors["threshold"][0] = -1.0
    save_file(tensors, saved / "sae_weights.safetensors")

    assert SAE.load(saved).threshold[0] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "topk"}, "architecture 'topk', expected jumprelu or standard"),
        ({"normalize_activations": "layer_norm"}, "normalize_activations 'layer_norm', expected none"),
        ({"reshape_activations": "hook_z"}, "reshape_activations 'hook_z', expected none"),
        ({"activation_fn_str": "tanh-relu"}, "activation_fn 'tanh-relu', expected relu"),
        (
            {"architecture": "standard"},
            r"hold \['W_dec', .*'threshold'\], expected \['W_dec', 'W_enc', 'b_dec', 'b_enc'\]",
        ),
        ({"d_in": 9}, r"W_\w+ of .* has shape .*, cfg.json says"),
        ({"d_in": ...}, "lacks d_in or d_sae"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(saved, changes, message):
    change_config(saved, **changes)

    with pytest.raises(ValueError, match=message):
        SAE.load(saved)


def test_nan_weights_are_refused(saved):
    tensors = load_file(saved / "sae_weights.safetensors")
    tensors["b_dec"][0] = float("nan")
    save_file(tensors, saved / "sae_weights.safetensors")

    with pytest.raises(ValueError, match=r"b_dec of .* has NaN"):
        SAE.load(saved)


@pytest.mark.parametrize("kept_bytes", [0, 7, 100, 1500])
def test_truncated_weights_are_one_line(saved, kept_bytes):
    weights = saved / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept_bytes])

    with pytest.raises(ValueError, match=r"sae_weights.safetensors is truncated or no safetensors file"):
        SAE.load(saved)


@pytest.mark.parametrize("text", ['{"architecture": "jump', "[]", ""])
def test_damaged_config_is_one_line(saved, text):
    (saved / "cfg.json").write_text(text)

    with pytest.raises(ValueError, match=r"cfg.json (is not valid JSON|holds a list)"):
        SAE.load(saved)


def test_a_directory_without_the_two_files_is_no_sae(tmp_path):
    with pytest.raises(ValueError, match=r"is no SAE: expected a directory with cfg\.json"):
        SAE.load(tmp_path)
