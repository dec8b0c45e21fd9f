"""The real sae-lens: what it writes we read, what we write it reads, and the numbers are the same."""

import json

import pytest
import torch

from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site

sae_lens = pytest.importorskip("sae_lens")
pytestmark = pytest.mark.filterwarnings("ignore")

METADATA = sae_lens.saes.sae.SAEMetadata(model_name="m", hook_name="blocks.1.hook_resid_post")


def randomised(theirs):
    """Their SAE with random biases, decoder rows of unequal length and thresholds above 0."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
            if name == "threshold":
                parameter.abs_()
    return theirs


def assert_same(ours, theirs, x):
    feature_acts = theirs.encode(x)
    assert 0.02 < (feature_acts > 0).float().mean() < 0.9
    torch.testing.assert_close(ours.encode(x), feature_acts, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.decode(ours.encode(x)), theirs.decode(feature_acts), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["sae", "top_k_sae"])
def test_sae_lens_reads_the_same_dictionary(kind, request, tmp_path, x):
    ours = request.getfixturevalue(kind)
    ours.save(tmp_path)

    theirs = sae_lens.SAE.load_from_disk(str(tmp_path))

    assert_same(SAE.load(tmp_path), theirs, x)
    assert theirs.cfg.metadata.domain_circuits["site"] == str(ours.site)


def test_folding_the_decoder_norm_in_sae_lens_only_changes_the_unit(sae, tmp_path, x):
    sae.save(tmp_path, weight_dtype=torch.float32)

    theirs = sae_lens.SAE.load_from_disk(str(tmp_path), fold_W_dec_norm=True)

    norms = sae.decoder_rows.norm(dim=1)
    torch.testing.assert_close(theirs.encode(x), sae.encode(x) * norms, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(theirs(x), sae.decode(sae.encode(x)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("input_bias", [False, True])
@pytest.mark.parametrize("architecture", ["Standard", "JumpReLU", "TopK"])
@pytest.mark.parametrize("fold", [False, True])
def test_reads_what_sae_lens_writes(architecture, input_bias, fold, tmp_path, x):
    options = {"k": 5, "rescale_acts_by_decoder_norm": True} if architecture == "TopK" else {}
    config = getattr(sae_lens, f"{architecture}SAEConfig")(
        d_in=8, d_sae=32, apply_b_dec_to_input=input_bias, metadata=METADATA, **options
    )
    theirs = randomised(getattr(sae_lens, f"{architecture}SAE")(config))
    if fold:
        theirs.fold_W_dec_norm()
    if fold and architecture == "TopK":
        theirs.cfg.rescale_acts_by_decoder_norm = False
    theirs.save_model(tmp_path)

    ours = SAE.load(tmp_path)

    assert_same(ours, theirs, x)
    assert (ours.site, ours.top_k) == (Site("resid_post", 1), 5 if architecture == "TopK" else None)


def test_reads_a_top_k_sae_that_ignores_decoder_norms(tmp_path, x):
    theirs = randomised(sae_lens.TopKSAE(sae_lens.TopKSAEConfig(d_in=8, d_sae=32, k=5)))
    theirs.save_model(tmp_path)

    assert_same(SAE.load(tmp_path), theirs, x)


@pytest.mark.parametrize("architecture", ["StandardSAE", "JumpReLUSAE", "TopKSAE"])
def test_the_scale_beside_a_checkpoint_is_folded_as_sae_lens_folds_it(architecture, tmp_path, x):
    config = getattr(sae_lens, f"{architecture}Config")(
        d_in=8, d_sae=32, apply_b_dec_to_input=True, normalize_activations="expected_average_only_in"
    )
    config.k = 5
    theirs = randomised(getattr(sae_lens, architecture)(config))
    theirs.save_model(tmp_path)
    (tmp_path / "activation_scaler.json").write_text(json.dumps({"scaling_factor": 0.37}))

    theirs.fold_activation_norm_scaling_factor(0.37)

    assert_same(SAE.load(tmp_path), theirs, x)


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("scale", [None, 0.37])
@pytest.mark.parametrize("name", ["BatchTopK", "MatryoshkaBatchTopK"])
def test_a_batch_top_k_checkpoint_reads_as_the_jump_relu_that_sae_lens_makes_of_it(name, scale, rescale, tmp_path, x):
    config = getattr(sae_lens, f"{name}TrainingSAEConfig")(
        d_in=8, d_sae=32, k=5, rescale_acts_by_decoder_norm=rescale, apply_b_dec_to_input=True
    )
    if name == "MatryoshkaBatchTopK":
        config.matryoshka_widths = [16, 32]
    if scale:
        config.normalize_activations = "expected_average_only_in"
        (tmp_path / "activation_scaler.json").write_text(json.dumps({"scaling_factor": scale}))
    theirs = randomised(getattr(sae_lens, f"{name}TrainingSAE")(config))
    theirs.topk_threshold.fill_(2.0)
    theirs.save_model(tmp_path)
    if scale:
        theirs.fold_activation_norm_scaling_factor(scale)
    theirs.save_inference_model(tmp_path / "inference")

    ours = SAE.load(tmp_path)

    assert_same(ours, sae_lens.SAE.load_from_disk(str(tmp_path / "inference")), x)
    assert ours.top_k is None


def test_a_jump_relu_checkpoint_of_training_is_read(tmp_path, x):
    theirs = randomised(sae_lens.JumpReLUTrainingSAE(sae_lens.JumpReLUTrainingSAEConfig(d_in=8, d_sae=32)))
    theirs.save_model(tmp_path)

    assert_same(SAE.load(tmp_path), sae_lens.SAE.load_from_disk(str(tmp_path)), x)
