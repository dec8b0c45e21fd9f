"""What every model family must do, compared with plain hooks; Llama's own tests go deeper."""

import pytest
import torch
from plain_hooks import module_at, plain_hooks, plain_logits
from tiny_models import FAMILY_SETTINGS, random_sae, tiny_family, tiny_family_model, tiny_tokenizer

from sae.host.host import HostModel
from sae.host.sites import FAMILIES, Site, all_sites
from sae.host.splice import SplicedHost

SITES = all_sites(3)
PARALLEL = {"gpt_neox"}
ADDS_THE_STREAM_LAST = {"gpt_neox", "gpt_neox sequential"}


@pytest.fixture(scope="module", params=FAMILY_SETTINGS)
def family(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def host(family) -> HostModel:
    return tiny_family(family)


@pytest.fixture(scope="module")
def plain(family):
    return tiny_family_model(family).requires_grad_(False)


@pytest.fixture(scope="module")
def batch(host):
    return host.batch([host.tokenise("w1 w2 w3"), host.tokenise("w4 w5 w6 w7 w8 w9")])


def metric(logits):
    return logits[:, -1, 20] - logits[:, -1, 30]


def push(x):
    return x + torch.linspace(-2, 2, 32)


def test_every_supported_family_is_tried():
    assert {name.split()[0] for name in FAMILY_SETTINGS} == set(FAMILIES)


def test_a_directory_of_the_family_is_loaded(plain, host, batch, tmp_path):
    plain.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    loaded = HostModel.load(str(tmp_path))
    assert (loaded.d_model, loaded.n_layers, loaded.vocab_size, loaded.context_length) == (32, 3, 48, 64)
    assert loaded.family == host.family
    assert torch.equal(loaded.forward(batch).logits, host.forward(batch).logits)


def test_capture_gives_what_forward_hooks_see(host, plain, batch):
    expected = {}
    with torch.no_grad(), plain_hooks(plain, {s: lambda x, s=s: expected.update({s: x}) for s in SITES}):
        plain_logits(plain, batch)
    captured = host.capture(batch, SITES)
    assert list(captured) == list(SITES) == list(host.sites)
    assert all(torch.equal(captured[site], expected[site]) for site in SITES)


def test_forward_gives_the_models_own_logits(host, plain, batch):
    with torch.no_grad():
        assert torch.equal(host.forward(batch).logits, plain_logits(plain, batch))


def test_attention_and_mlp_outputs_are_what_is_added_to_the_stream(family, host, batch):
    """Bit for bit, in the order in which the family adds."""
    x = host.capture(batch, SITES)
    for layer in range(3):
        before = x[Site("resid_post", layer - 1)] if layer else x[Site("embed", None)]
        attention, mlp = x[Site("attn_out", layer)], x[Site("mlp_out", layer)]
        after = before + attention + mlp
        if family == "gpt_neox":
            after = mlp + attention + before
        if family == "gpt_neox sequential":
            after = mlp + (attention + before)
        assert torch.equal(after, x[Site("resid_post", layer)])


def test_the_mlp_reads_mlp_in_and_its_projection_reads_the_neurons(host, plain, batch):
    layer = module_at(plain, Site("resid_post", 1))
    kinds = [Site("mlp_in", 1), Site("mlp_neurons", 1), Site("mlp_out", 1)]
    x = host.capture(batch, kinds)
    assert [host.width(site) for site in kinds] == [32, 64, 32] == [x[site].shape[-1] for site in kinds]
    with torch.no_grad():
        raw = layer.mlp(x[kinds[0]])
        project = getattr(layer.mlp, "down_proj", None) or layer.mlp.dense_4h_to_h
        assert torch.equal(project(x[kinds[1]]), raw)
        normed = layer.post_feedforward_layernorm(raw) if hasattr(layer, "post_feedforward_layernorm") else raw
    assert torch.equal(normed, x[kinds[2]])


@pytest.mark.parametrize("site", SITES, ids=str)
def test_an_edit_does_what_a_forward_hook_does(host, plain, batch, site):
    edited = host.forward(batch, {site: push}).logits
    with torch.no_grad(), plain_hooks(plain, {site: push}):
        assert torch.equal(edited, plain_logits(plain, batch))
    assert not torch.equal(edited, host.forward(batch).logits)


@pytest.mark.parametrize("kind", ["mlp_in", "mlp_neurons"])
def test_what_a_module_reads_can_be_edited(host, plain, batch, kind):
    site = Site(kind, 1)
    mlp = module_at(plain, Site("resid_post", 1)).mlp
    reader = mlp if kind == "mlp_in" else getattr(mlp, "down_proj", None) or mlp.dense_4h_to_h
    handle = reader.register_forward_pre_hook(lambda _, inputs: (2 * inputs[0],))
    with torch.no_grad():
        expected = plain_logits(plain, batch)
    handle.remove()
    assert torch.equal(host.forward(batch, {site: lambda x: 2 * x}).logits, expected)


def test_splicing_at_every_site_changes_no_bit(host, batch):
    spliced = SplicedHost(host, {site: random_sae(site=site, seed=seed) for seed, site in enumerate(SITES)})
    same = dict.fromkeys(SITES, lambda feature_acts, error: (feature_acts, error))
    assert torch.equal(spliced.forward(batch, same), host.forward(batch).logits)


def test_gradients_are_those_of_plain_autograd(host, plain, batch):
    found = {}

    def read(site, x):
        found[site] = x.detach().requires_grad_(True) if site.kind == "embed" else x
        return found[site]

    with plain_hooks(plain, {site: lambda x, site=site: read(site, x) for site in SITES}):
        values = metric(plain_logits(plain, batch))
    expected = torch.autograd.grad(values.sum(), [found[site] for site in SITES])
    gradients = host.gradients(batch, SITES, metric)
    assert torch.equal(gradients.metric, values.detach())
    for site, gradient in zip(SITES, expected, strict=True):
        assert torch.equal(gradients.gradients[site], gradient)
        assert gradient.abs().sum() > 0


@pytest.mark.parametrize("site", [Site("attn_out", 1), Site("mlp_out", 1), Site("resid_post", 1)], ids=str)
def test_gradient_at_a_site_is_that_of_a_hook_that_puts_the_activation_there(host, plain, batch, site):
    held = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(1))
    stream = Site("resid_post", 0)
    values, gradient = host.gradient_at(batch, site, held, metric, layer_input=host.capture(batch, [stream])[stream])
    leaf = held.clone().requires_grad_(True)
    with plain_hooks(plain, {site: lambda x: leaf}):
        expected = metric(plain_logits(plain, batch))
    assert torch.equal(values, expected.detach())
    assert torch.equal(gradient, torch.autograd.grad(expected.sum(), leaf)[0])


def test_the_graph_of_cut_sites_reaches_the_parents_and_no_others(host, batch):
    graph = host.cut_graph(batch, SITES)
    for target in SITES[1:]:
        gradients = torch.autograd.grad(
            graph.inputs[target].square().sum(), list(graph.leaves.values()), allow_unused=True, retain_graph=True
        )
        reached = [site for site, g in zip(SITES, gradients, strict=True) if g is not None and g.abs().sum() > 0]
        assert reached == host.parents(target, SITES)


def test_the_mlp_reads_attention_unless_they_are_parallel(family, host):
    among = host.parents(Site("mlp_out", 1), SITES)
    assert (Site("attn_out", 1) in among) == (family not in PARALLEL)


def test_greedy_text_under_edits_is_that_of_forward_hooks(host, plain, batch):
    edits = {Site("attn_out", 0): lambda x: 2 * x, Site("mlp_out", 1): push, Site("resid_post", 1): push}
    options = {"attention_mask": batch.attention_mask, "max_new_tokens": 8, "do_sample": False}
    with plain_hooks(plain, edits):
        expected = plain.generate(input_ids=batch.ids, **options)
    assert torch.equal(host.generate(batch, max_new_tokens=8, edits=edits), expected)
    assert not torch.equal(host.generate(batch, max_new_tokens=8), expected)
