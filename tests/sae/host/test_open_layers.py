"""Layers run on single tokens, against passes of the whole model and plain autograd, for every family."""

import pytest
import torch
from tiny_models import FAMILY_SETTINGS, tiny_family

from sae.host.open_attention import opened_attention
from sae.host.open_layers import stream_into
from sae.host.sites import Site

LAYERS = range(3)


@pytest.fixture(scope="module", params=FAMILY_SETTINGS)
def host(request):
    return tiny_family(request.param)


@pytest.fixture(scope="module")
def batch(host):
    return host.batch([host.tokenise("w1 w2 w3 w4 w5 w6 w7 w8")])


@pytest.fixture(scope="module")
def clean(host, batch):
    return {site: x[0] for site, x in host.capture(batch, host.sites).items()}


def test_a_layer_with_its_own_mixed_values_gives_what_the_model_has_at_every_site(host, batch, clean):
    order = torch.tensor([7, 2, 2, 0, 5])
    for layer, opened in zip(LAYERS, host.open_layers(batch), strict=True):
        stream = clean[stream_into(layer)]
        mixed = opened.heads(stream).mixed[:, order]
        sites = [Site(kind, layer) for kind in ("attn_out", "mlp_out", "resid_post")]
        arrived = opened._arrivals({stream_into(layer): stream[order]}, mixed, order, sites)
        for site in sites:
            torch.testing.assert_close(arrived[site], clean[site][order], atol=1e-5, rtol=1e-4)


def test_moved_heads_are_the_derivative_of_heads(host, batch, clean):
    position, draw = torch.tensor([6, 1, 1, 3]), torch.Generator().manual_seed(0)
    change = torch.randn(4, host.d_model, generator=draw)
    for layer, opened in zip(LAYERS, host.open_layers(batch), strict=True):
        stream = clean[stream_into(layer)]
        moved = opened.moved_heads(stream[position], change, position)
        for found, name in zip(moved, ("query", "key", "value"), strict=True):
            jacobian = torch.autograd.functional.jacobian(
                lambda x, opened=opened, name=name: getattr(opened._heads(x, position), name), stream[position]
            )
            expected = torch.einsum("htwsd,sd->htw", jacobian, change)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_rows_are_pulled_back_as_autograd_does_with_attention_held(host, batch, clean):
    position, layer, site = torch.tensor([4, 4, 7]), 1, Site("resid_post", 1)
    opened, stream = host.open_layers(batch)[layer], clean[stream_into(layer)]
    mixed = opened.heads(stream).mixed[:, position]
    row = torch.randn(3, host.d_model, generator=torch.Generator().manual_seed(1))
    pulled, at_mixed = opened.pulled_back({site: row}, position, {stream_into(layer): stream[position]}, mixed)
    leaf = stream[position].clone().requires_grad_(True)
    held = mixed.clone().requires_grad_(True)
    arrived = opened._arrivals({stream_into(layer): leaf}, held, position, [site])[site]
    for i in range(3):
        own = torch.autograd.grad(arrived[i] @ row[i], [leaf, held], retain_graph=True)
        torch.testing.assert_close(pulled[stream_into(layer)][i], own[0][i], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(at_mixed[:, i], own[1][:, i], atol=1e-5, rtol=1e-4)


def test_the_model_is_as_it_was_afterwards(host, batch):
    before = host.forward(batch).logits
    config = host._model.config.get_text_config()
    usual = config._attn_implementation
    with pytest.raises(RuntimeError, match="stop"), opened_attention(host._model, lambda heads: heads.value):
        raise RuntimeError("stop")
    host.open_layers(batch)
    assert config._attn_implementation == usual
    assert torch.equal(host.forward(batch).logits, before)
