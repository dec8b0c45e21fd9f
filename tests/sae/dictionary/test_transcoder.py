"""Transcoders: what they compute, that they stay what they are, and that nobody takes one for an SAE."""

import pytest
import torch
from tiny_models import random_sae, random_transcoder

from sae.dictionary.autoencoder import SAE
from sae.dictionary.conversion import convert
from sae.dictionary.transcoder import Transcoder, load_dictionary
from sae.host.sites import Site

X = torch.randn(5, 32, generator=torch.Generator().manual_seed(9))


def parts(transcoder: Transcoder) -> dict:
    """What it is made of."""
    names = ("encoder_rows", "b_enc", "decoder_rows", "b_dec", "threshold")
    return {name: getattr(transcoder, name) for name in names}


@pytest.mark.parametrize("skip", [False, True])
def test_it_reconstructs_by_its_formula(skip):
    transcoder = random_transcoder(1, skip=skip)
    feature_acts = transcoder.encode(X)
    expected = feature_acts @ transcoder.W_dec + transcoder.b_dec + (X @ transcoder.W_skip if skip else 0)
    torch.testing.assert_close(transcoder.reconstruct(feature_acts, X), expected)


def test_an_sae_reconstructs_by_decoding():
    sae = random_sae()
    assert sae.input_site is None
    assert torch.equal(sae.reconstruct(sae.encode(X), X), sae.decode(sae.encode(X)))


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("weight_dtype", [torch.bfloat16, torch.float32])
def test_what_is_saved_is_loaded(skip, weight_dtype, tmp_path):
    transcoder = random_transcoder(2, skip=skip)
    transcoder.save(tmp_path / "first", weight_dtype=weight_dtype)
    loaded = load_dictionary(tmp_path / "first")
    assert isinstance(loaded, Transcoder)
    assert (loaded.input_site, loaded.site) == (Site("mlp_in", 2), Site("mlp_out", 2))
    expected = transcoder.rounded() if weight_dtype == torch.bfloat16 else transcoder
    assert loaded.content_hash == expected.content_hash
    loaded.save(tmp_path / "again", weight_dtype=weight_dtype)
    for file in ("cfg.json", "sae_weights.safetensors"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


def test_an_sae_is_loaded_as_one(tmp_path):
    random_sae(site=Site("mlp_out", 1)).save(tmp_path)
    assert type(load_dictionary(tmp_path)) is SAE


def test_the_hash_tells_a_transcoder_from_an_sae_and_sees_all_that_it_is():
    plain, skipping = random_transcoder(1), random_transcoder(1, skip=True)
    as_sae = SAE(**parts(plain))
    earlier = Transcoder(**parts(plain), input_site=Site("resid_post", 0), site=Site("mlp_out", 1))
    assert len({dictionary.content_hash for dictionary in (plain, skipping, as_sae, earlier)}) == 4
    assert plain.content_hash == random_transcoder(1).content_hash


def test_what_is_made_of_a_transcoder_is_one():
    transcoder = random_transcoder(1, skip=True)
    made = [
        transcoder.to("cpu"),
        transcoder.rounded(),
        transcoder.with_threshold(torch.ones(64)),
        transcoder.with_metadata({"model_name": "m"}),
    ]
    assert all(isinstance(each, Transcoder) and each.input_site == Site("mlp_in", 1) for each in made)
    assert all(each.W_skip is not None for each in made)


def test_sites_out_of_order_are_refused():
    with pytest.raises(
        ValueError, match=r"a transcoder cannot read mlp_out\.1 and write mlp_in\.1, expected two in forw"
    ):
        Transcoder(**parts(random_transcoder(1)), input_site=Site("mlp_out", 1), site=Site("mlp_in", 1))


def test_a_transcoder_is_not_taken_for_an_sae(tmp_path):
    random_transcoder(1).save(tmp_path)
    with pytest.raises(ValueError, match=r"is a transcoder from mlp_in\.1 to mlp_out\.1, expected an SAE"):
        SAE.load(tmp_path)


def test_an_sae_is_not_taken_for_a_transcoder(tmp_path):
    random_sae(site=Site("mlp_out", 1)).save(tmp_path)
    with pytest.raises(ValueError, match=r"is an SAE at mlp_out\.1, expected a transcoder"):
        Transcoder.load(tmp_path)


def test_a_transcoder_converts_to_saelens_only(tmp_path):
    random_transcoder(1, skip=True).save(tmp_path / "ours")
    assert convert(tmp_path / "ours", tmp_path / "same").content_hash == load_dictionary(tmp_path / "same").content_hash
    with pytest.raises(
        ValueError, match=r"a transcoder from mlp_in\.1 to mlp_out\.1 has no place in gemma_scope, expected"
    ):
        convert(tmp_path / "ours", tmp_path / "other", to="gemma_scope")


def test_a_top_k_transcoder_has_no_place_on_disk(tmp_path):
    made = {**parts(random_transcoder(1)), "threshold": torch.zeros(64), "top_k": 3}
    transcoder = Transcoder(**made, input_site=Site("mlp_in", 1), site=Site("mlp_out", 1))
    with pytest.raises(
        ValueError, match="a TopK transcoder has no place in SAELens, expected thresholds; calibrate it"
    ):
        transcoder.save(tmp_path)
