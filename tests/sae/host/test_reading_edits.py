"""Edits that look at an earlier site, compared with plain hooks on the MLP."""

import pytest
import torch
from plain_hooks import module_at, plain_logits
from tiny_models import FAMILY_SETTINGS, tiny_family, tiny_family_model

from sae.host.reading_edits import host_edits
from sae.host.sites import Site

MLP_IN, MLP_OUT, BEFORE = Site("mlp_in", 1), Site("mlp_out", 1), Site("resid_post", 0)


def batch_of(host):
    return host.batch([host.tokenise("w1 w2 w3"), host.tokenise("w4 w5 w6 w7 w8 w9")])


@pytest.mark.parametrize("family", FAMILY_SETTINGS)
def test_an_edit_of_the_mlps_output_sees_what_the_mlp_reads(family):
    host, plain = tiny_family(family), tiny_family_model(family)
    batch = batch_of(host)
    edits = host_edits({MLP_OUT: lambda read, x: 2 * read - x}, {MLP_OUT: MLP_IN})
    seen = []
    handles = [
        module_at(plain, Site("resid_post", 1)).mlp.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])),
        module_at(plain, MLP_OUT).register_forward_hook(lambda _, __, output: 2 * seen[-1] - output),
    ]
    with torch.no_grad():
        expected = plain_logits(plain, batch)
        assert torch.equal(host.forward(batch, edits).logits, expected)
    for handle in handles:
        handle.remove()


def test_what_is_read_comes_from_the_edited_stream(tiny_host):
    batch = batch_of(tiny_host)
    seen = {}
    readers = {BEFORE: lambda _, x: 2 * x, MLP_OUT: lambda read, x: seen.update(read=read) or x}
    run = tiny_host.forward(batch, host_edits(readers, {BEFORE: BEFORE, MLP_OUT: MLP_IN}), capture=[MLP_IN])
    assert torch.equal(seen["read"], run.activations[MLP_IN])
    assert not torch.equal(seen["read"], tiny_host.capture(batch, [MLP_IN])[MLP_IN])


def test_a_site_that_is_read_and_edited_is_read_after_its_edit(tiny_host):
    batch = batch_of(tiny_host)
    seen = {}
    readers = {BEFORE: lambda _, x: 2 * x, MLP_OUT: lambda read, x: seen.update(read=read) or x}
    tiny_host.forward(batch, host_edits(readers, {BEFORE: BEFORE, MLP_OUT: BEFORE}))
    assert torch.equal(seen["read"], 2 * tiny_host.capture(batch, [BEFORE])[BEFORE])


def test_an_edit_may_read_the_site_that_it_edits(tiny_host):
    batch = batch_of(tiny_host)
    edits = host_edits({MLP_OUT: lambda read, x: read + x}, {MLP_OUT: MLP_OUT})
    assert list(edits) == [MLP_OUT]
    expected = tiny_host.forward(batch, {MLP_OUT: lambda x: x + x}).logits
    assert torch.equal(tiny_host.forward(batch, edits).logits, expected)


def test_gradients_pass_through_what_is_read(tiny_host):
    """The MLP's output is replaced by what it reads: the gradient there then arrives at its input."""
    batch = batch_of(tiny_host)
    edits = host_edits({MLP_OUT: lambda read, x: read + 0 * x}, {MLP_OUT: MLP_IN})
    sites = [Site("embed", None), MLP_IN, MLP_OUT]
    found = tiny_host.gradients(batch, sites, lambda logits: logits[:, -1, 20], edits).gradients
    assert torch.equal(found[MLP_IN], found[MLP_OUT])
    assert found[MLP_OUT].abs().sum() > 0
