import pytest
import torch
from plain_hooks import plain_hooks, plain_logits
from tiny_models import tiny_llama, tiny_llama_model

from sae.host.sites import Site, all_sites

SITES = all_sites(3)


@pytest.fixture(scope="module")
def plain():
    return tiny_llama_model()


@pytest.fixture(scope="module")
def batch(tiny_host):
    return tiny_host.batch([tiny_host.tokenise("w1 w2 w3"), tiny_host.tokenise("w4 w5 w6 w7 w8 w9")])


def plain_activations(plain, batch):
    found = {}
    with torch.no_grad(), plain_hooks(plain, {site: lambda x, site=site: found.update({site: x}) for site in SITES}):
        plain_logits(plain, batch)
    return found


def test_sites_are_listed_in_forward_order(tiny_host):
    assert tiny_host.sites == SITES


def test_capture_gives_what_forward_hooks_see(tiny_host, plain, batch):
    captured = tiny_host.capture(batch, SITES)
    expected = plain_activations(plain, batch)
    assert list(captured) == list(SITES)
    assert all(torch.equal(captured[site], expected[site]) for site in SITES)


def test_attention_and_mlp_outputs_are_what_is_added_to_the_stream(tiny_host, batch):
    x = tiny_host.capture(batch, SITES)
    for layer in range(3):
        before = x[Site("resid_post", layer - 1)] if layer else x[Site("embed", None)]
        after = before + x[Site("attn_out", layer)] + x[Site("mlp_out", layer)]
        assert torch.equal(after, x[Site("resid_post", layer)])


def test_capture_stops_after_the_last_wanted_layer():
    host = tiny_llama()
    ran = []
    for index, layer in enumerate(host._model.model.layers):
        layer.register_forward_pre_hook(lambda *_, index=index: ran.append(index))
    host.capture(host.batch([host.tokenise("w1")]), [Site("mlp_out", 1)])
    assert ran == [0, 1]


def test_capturing_nothing_gives_nothing(tiny_host, batch):
    assert tiny_host.capture(batch, []) == {}


def test_forward_gives_the_models_own_logits(tiny_host, plain, batch):
    with torch.no_grad():
        assert torch.equal(tiny_host.forward(batch).logits, plain_logits(plain, batch))


def test_forward_keeps_the_logits_of_the_last_positions(tiny_host, batch):
    kept = tiny_host.forward(batch, logits_to_keep=2).logits
    torch.testing.assert_close(kept, tiny_host.forward(batch).logits[:, -2:], atol=1e-5, rtol=0)


def test_results_carry_no_graph(tiny_host, batch):
    run = tiny_host.forward(batch, capture=SITES)
    assert not run.logits.requires_grad
    assert not any(x.requires_grad for x in run.activations.values())


@pytest.mark.parametrize("site", SITES, ids=str)
def test_an_edit_does_what_a_forward_hook_does(tiny_host, plain, batch, site):
    direction = torch.linspace(-1, 1, 32)
    run = tiny_host.forward(batch, {site: lambda x: x + direction})
    with torch.no_grad(), plain_hooks(plain, {site: lambda x: x + direction}):
        assert torch.equal(run.logits, plain_logits(plain, batch))
    assert not torch.equal(run.logits, tiny_host.forward(batch).logits)


def test_later_edits_see_what_earlier_ones_did(tiny_host, batch):
    last = Site("resid_post", 2)
    seen = []
    edits = {last: lambda x: seen.append(x) or x, Site("attn_out", 1): torch.zeros_like}
    run = tiny_host.forward(batch, edits, capture=[Site("attn_out", 1), last])
    assert run.activations[Site("attn_out", 1)].abs().sum() == 0
    assert torch.equal(seen[0], run.activations[last])
    assert not torch.equal(seen[0], tiny_host.capture(batch, [last])[last])


def test_capture_sees_the_activation_after_the_edit(tiny_host, batch):
    site = Site("mlp_out", 0)
    run = tiny_host.forward(batch, {site: lambda x: 2 * x}, capture=[site])
    assert torch.equal(run.activations[site], 2 * tiny_host.capture(batch, [site])[site])


def test_an_edit_keeps_the_precision_of_the_run(tiny_llama_path):
    host = tiny_llama(dtype=torch.bfloat16)
    host._model.bfloat16()
    batch = host.batch([host.tokenise("w1 w2")])
    site = Site("resid_post", 0)
    run = host.forward(batch, {site: lambda x: x.float()}, capture=[site])
    assert run.activations[site].dtype == torch.bfloat16
    assert torch.equal(run.logits, host.forward(batch).logits)


@pytest.mark.parametrize("site", [Site("embed", None), Site("attn_out", 1), Site("resid_post", 2)], ids=str)
def test_a_padded_row_equals_the_row_alone(tiny_host, batch, site):
    alone = tiny_host.batch([tiny_host.tokenise("w1 w2 w3")])
    together, single = tiny_host.forward(batch, capture=[site]), tiny_host.forward(alone, capture=[site])
    torch.testing.assert_close(together.logits[:1, -4:], single.logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(together.activations[site][:1, -4:], single.activations[site], atol=1e-5, rtol=0)


class EditError(Exception):
    pass


def fail(x):
    raise EditError("on purpose")


@pytest.mark.parametrize("site", [Site("embed", None), Site("mlp_out", 1)], ids=str)
def test_a_failing_edit_raises_its_own_error_and_leaves_nothing_behind(tiny_host, plain, batch, site):
    hooks_before = sum(len(module._forward_hooks) for module in tiny_host._model.modules())
    with pytest.raises(EditError, match="on purpose"):
        tiny_host.forward(batch, {site: fail, Site("attn_out", 0): lambda x: x + 1})
    with torch.no_grad():
        assert torch.equal(tiny_host.forward(batch).logits, plain_logits(plain, batch))
    assert sum(len(module._forward_hooks) for module in tiny_host._model.modules()) == hooks_before


def test_an_edit_of_another_shape_is_refused(tiny_host, batch):
    message = r"the edit at mlp_out.1 returned an activation of shape \(2, 32\), expected \(2, 7, 32\)"
    with pytest.raises(ValueError, match=message):
        tiny_host.forward(batch, {Site("mlp_out", 1): lambda x: x[:, 0]})


def test_a_site_that_the_model_lacks_is_named(tiny_host, batch):
    with pytest.raises(ValueError, match=r"no site resid_post\.3, its last is resid_post\.2"):
        tiny_host.capture(batch, [Site("resid_post", 3)])


def test_edits_after_a_held_site_are_those_of_a_whole_pass():
    host = tiny_llama()
    batch = host.batch([host.tokenise("w1 w2 w3 w4")] * 2)
    first, second = Site("resid_post", 0), Site("mlp_out", 2)
    edits = {first: lambda x: 2 * x, second: lambda x: x + 1}
    expected = host.forward(batch, edits, logits_to_keep=1).logits
    held = 2 * host.capture(batch, [first])[first]
    found = host.forward_from(batch, first, held, edits={second: edits[second]}, logits_to_keep=1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_an_edit_before_the_held_site_is_refused():
    host = tiny_llama()
    batch = host.batch([host.tokenise("w1 w2")])
    site = Site("resid_post", 1)
    held = host.capture(batch, [site])[site]
    with pytest.raises(ValueError, match=r"edit at resid_post.0, expected edits after resid_post.1"):
        host.forward_from(batch, site, held, edits={Site("resid_post", 0): lambda x: x})
