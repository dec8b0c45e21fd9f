"""Transcoders spliced into a host: features of what the MLP reads, written into what it puts out."""

import pytest
import torch
from tiny_models import random_sae, random_transcoder

from sae.dictionary.transcoder import Transcoder
from sae.host.sites import Site
from sae.host.splice import SplicedHost

MLP_IN, MLP_OUT = Site("mlp_in", 1), Site("mlp_out", 1)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "skip"])
def transcoder(request) -> Transcoder:
    return random_transcoder(1, skip=request.param)


@pytest.fixture(scope="module")
def spliced(tiny_host, transcoder):
    stream = Site("resid_post", 0)
    return SplicedHost(tiny_host, {MLP_OUT: transcoder, stream: random_sae(site=stream)})


@pytest.fixture(scope="module")
def batch(tiny_host):
    return tiny_host.batch([tiny_host.tokenise("w1 w2 w3"), tiny_host.tokenise("w4 w5 w6 w7 w8 w9")])


def test_without_a_change_no_bit_changes(spliced, tiny_host, batch):
    same = dict.fromkeys(spliced.saes, lambda feature_acts, error: (feature_acts, error))
    assert torch.equal(spliced.forward(batch, same), tiny_host.forward(batch).logits)


def test_features_skip_path_and_error_add_up_to_the_mlps_output(spliced, tiny_host, transcoder, batch):
    x = tiny_host.capture(batch, [MLP_IN, MLP_OUT])
    feature_acts = spliced.features(batch)[MLP_OUT].to_dense().view(2, 7, 64)
    at_nodes = batch.node_mask
    torch.testing.assert_close(feature_acts[at_nodes], transcoder.encode(x[MLP_IN])[at_nodes])
    total = transcoder.reconstruct(feature_acts, x[MLP_IN]) + spliced.errors(batch)[MLP_OUT]
    torch.testing.assert_close(total[at_nodes], x[MLP_OUT][at_nodes], atol=1e-5, rtol=1e-5)


def test_reconstruction_puts_what_the_transcoder_makes_of_the_current_input(tiny_host, transcoder, batch):
    spliced = SplicedHost(tiny_host, {MLP_OUT: transcoder})
    read = tiny_host.capture(batch, [MLP_IN])[MLP_IN]
    made = transcoder.reconstruct(transcoder.encode(read), read)
    edit = {MLP_OUT: lambda x: torch.where(batch.node_mask[..., None], made, x)}
    torch.testing.assert_close(spliced.reconstruct(batch), tiny_host.forward(batch, edit).logits, atol=1e-4, rtol=1e-4)


def test_an_edit_sees_the_features_of_the_already_edited_stream(spliced, batch):
    seen = []
    edits = {
        MLP_OUT: lambda feature_acts, error: seen.append(feature_acts.clone()) or (feature_acts, error),
        Site("resid_post", 0): lambda feature_acts, error: (0 * feature_acts, error),
    }
    spliced.forward(batch, edits)
    clean = spliced.features(batch)[MLP_OUT].to_dense().view(2, 7, 64)
    assert not torch.allclose(seen[0][batch.node_mask], clean[batch.node_mask], atol=1e-3)


def test_generation_edits_new_tokens(spliced, tiny_host):
    """Compared with one whole forward pass a token."""
    edits = {MLP_OUT: lambda acts, error: (3 * acts, error)}
    row = expected = tiny_host.tokenise("w1 w2 w3")
    for _ in range(6):
        logits = spliced.forward(tiny_host.batch([expected]), edits)
        expected = torch.cat([expected, logits[0, -1].argmax()[None]])
    assert torch.equal(spliced.generate(tiny_host.batch([row]), edits, max_new_tokens=6)[0], expected)


def test_an_input_that_the_model_lacks_is_named(tiny_host):
    far = random_transcoder(1)
    far.input_site = Site("mlp_in", 9)
    with pytest.raises(
        ValueError, match=r"model 'tiny' has no site mlp_in\.9, which the transcoder at mlp_out\.1 reads"
    ):
        SplicedHost(tiny_host, {MLP_OUT: far})
