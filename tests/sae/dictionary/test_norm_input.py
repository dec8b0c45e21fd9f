"""Transcoders from inside the norm: their features by hand, and the same features read off what the MLP reads."""

import json

import pytest
import torch
from click.testing import CliRunner
from tiny_models import FAMILY_SETTINGS, random_sae, random_transcoder, save_tiny_llama, tiny_family, tiny_llama

from sae.cli import main
from sae.dictionary.conversion import convert
from sae.dictionary.transcoder import load_dictionary
from sae.host.sites import Site

HOOKS = {"hook_name": "blocks.1.ln2.hook_normalized", "hook_name_out": "blocks.1.hook_mlp_out", "model_name": "m"}
READ = Site("mlp_in", 1)


@pytest.fixture(params=[False, True], ids=["plain", "skip"])
def published(request, tmp_path):
    """A transcoder as sae-lens describes it, and what it is made of."""
    transcoder = random_transcoder(1, skip=request.param)
    transcoder.save(tmp_path / "published", weight_dtype=torch.float32)
    described(tmp_path / "published", **HOOKS)
    return tmp_path / "published", transcoder


def described(directory, **metadata):
    """Replace the record of a directory by that of another library."""
    config = json.loads((directory / "cfg.json").read_text())
    (directory / "cfg.json").write_text(json.dumps(config | {"metadata": metadata}))


def stream_and_input(host, batch):
    """What enters the norm before the MLP of layer 1, by a plain hook, and what the MLP reads."""
    family = host._model.config.model_type
    norm = "pre_feedforward_layernorm" if family.startswith("gemma") else "post_attention_layernorm"
    found = []
    module = host._model.get_submodule(f"{host.family.layers}.1.{norm}")
    handle = module.register_forward_pre_hook(lambda _module, inputs: found.append(inputs[0]))
    try:
        read = host.forward(batch, capture=[READ]).activations[READ]
    finally:
        handle.remove()
    return found[0], read


def over_its_scale(host, stream):
    """The stream as each family's norm scales it, without weight and bias."""
    config = host._model.config.get_text_config()
    if hasattr(config, "rms_norm_eps"):
        return stream / (stream.pow(2).mean(-1, keepdim=True) + config.rms_norm_eps).sqrt()
    centred = stream - stream.mean(-1, keepdim=True)
    return centred / (centred.pow(2).mean(-1, keepdim=True) + config.layer_norm_eps).sqrt()


@pytest.mark.parametrize("family", FAMILY_SETTINGS)
def test_the_features_are_those_of_the_stream_over_its_scale(published, family, tmp_path):
    directory, transcoder = published
    host = tiny_family(family)
    stream, read = stream_and_input(host, host.batch([host.tokenise("w3 w8 w2 w9")]))
    n = over_its_scale(host, stream)
    pre_acts = n @ transcoder.W_enc + transcoder.b_enc
    feature_acts = pre_acts * (pre_acts > transcoder.threshold)
    x_out = feature_acts @ transcoder.W_dec + transcoder.b_dec
    if transcoder.W_skip is not None:
        x_out = x_out + n @ transcoder.W_skip

    convert(directory, tmp_path / "converted", host=host)
    converted = load_dictionary(tmp_path / "converted")

    assert (converted.input_site, converted.site) == (READ, Site("mlp_out", 1))
    assert 0.05 < (feature_acts > 0).float().mean() < 0.95
    torch.testing.assert_close(converted.encode(read), feature_acts, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(converted.reconstruct(converted.encode(read), read), x_out, atol=1e-4, rtol=1e-4)


def test_the_record_names_the_new_input_the_old_one_and_the_host(published, tmp_path):
    directory, _ = published
    convert(directory, tmp_path / "converted", host=tiny_llama())
    metadata = load_dictionary(tmp_path / "converted").metadata
    assert metadata["hook_name"] == "blocks.1.mlp.hook_in"
    record = metadata["domain_circuits"]
    assert record["norm_weight_divided_out"] == "blocks.1.ln2.hook_normalized"
    assert record["host"]["name"] == "tiny"


def test_without_its_model_it_is_refused_with_the_remedy(published):
    directory, _ = published
    with pytest.raises(ValueError, match=r"reads blocks.1.ln2.hook_normalized, the stream over .* --model MODEL"):
        load_dictionary(directory)


def test_the_command_takes_the_model(published, tmp_path):
    directory, _ = published
    model = save_tiny_llama(tmp_path / "model")
    arguments = ["convert", str(directory), str(tmp_path / "out")]
    refused = CliRunner().invoke(main, arguments)
    assert (refused.exit_code, refused.stderr.count("Error: ")) == (1, 1)
    assert CliRunner().invoke(main, [*arguments, "--model", str(model)]).exit_code == 0
    assert load_dictionary(tmp_path / "out").input_site == READ


def test_a_norm_that_hides_a_coordinate_is_refused(published, tmp_path):
    host = tiny_llama()
    host._model.model.layers[1].post_attention_layernorm.weight.data[5] = 0
    with pytest.raises(ValueError, match="norm before MLP 1 of 'tiny' gives weight 0 to 1 of 32 coordinates"):
        convert(published[0], tmp_path / "out", host=host)


@pytest.mark.parametrize("overrides", [{"hidden_size": 16}, {"num_hidden_layers": 1}])
def test_another_model_is_refused(published, overrides, tmp_path):
    with pytest.raises(ValueError, match=r"is at layer 1 with d_model 32, but model 'tiny' has \d layers and d_model"):
        convert(published[0], tmp_path / "out", host=tiny_llama(**overrides))


def test_a_model_that_is_not_needed_is_refused(tmp_path):
    random_sae(site=Site("resid_post", 1)).save(tmp_path / "sae")
    with pytest.raises(ValueError, match=r"needs no model, only transcoders from ln2.hook_normalized do; leave it out"):
        convert(tmp_path / "sae", tmp_path / "out", host=tiny_llama())


def test_what_sae_lens_calls_mlp_in_is_an_input_only_where_the_other_name_says_so(tmp_path):
    random_transcoder(1).save(tmp_path)
    names = {"hook_name": "blocks.1.hook_mlp_in", "hook_name_out": "blocks.1.hook_mlp_out"}
    described(tmp_path, **names, hf_hook_name="model.layers.1.pre_feedforward_layernorm.output")
    assert load_dictionary(tmp_path).input_site == READ
    for other in ({}, {"hf_hook_name": "model.layers.2.pre_feedforward_layernorm.output"}):
        described(tmp_path, **names, **other)
        with pytest.raises(ValueError, match=r"hook_mlp_in is the stream before the norm, which is no site"):
            load_dictionary(tmp_path)
