import pytest
import torch
from plain_hooks import plain_hooks, plain_logits
from tiny_models import tiny_llama, tiny_llama_model, tiny_tokenizer

from sae.host.host import HostModel
from sae.host.sites import Site, all_sites

SITES = all_sites(3)


def metric(logits):
    return logits[:, -1, 20] - logits[:, -1, 30]


@pytest.fixture(scope="module")
def plain():
    return tiny_llama_model().requires_grad_(False)


@pytest.fixture(scope="module")
def batch(tiny_host):
    return tiny_host.batch([tiny_host.tokenise("w1 w2 w3"), tiny_host.tokenise("w4 w5 w6 w7 w8 w9")])


def plain_gradients(plain, batch, sites=SITES, edits=None):
    """Metric and gradients by hooks; the embedding is made a leaf, edits come before reading."""
    found = {}

    def visit(site):
        def read(x):
            x = (edits or {}).get(site, lambda same: same)(x)
            if site.kind == "embed":
                x = x.detach().requires_grad_(True)
            found[site] = x
            return x

        return read

    with plain_hooks(plain, {site: visit(site) for site in SITES}):
        values = metric(plain_logits(plain, batch))
    gradients = torch.autograd.grad(values.sum(), [found[site] for site in sites])
    return values.detach(), dict(zip(sites, gradients, strict=True))


def test_gradients_are_bit_equal_to_those_by_hooks(tiny_host, plain, batch):
    found = tiny_host.gradients(batch, SITES, metric)
    values, gradients = plain_gradients(plain, batch)
    assert torch.equal(found.metric, values)
    assert all(torch.equal(found.gradients[site], gradients[site]) for site in SITES)


def test_gradients_come_with_the_activations(tiny_host, batch):
    found = tiny_host.gradients(batch, SITES, metric)
    captured = tiny_host.capture(batch, SITES)
    assert all(torch.equal(found.activations[site], captured[site]) for site in SITES)
    assert not any(x.requires_grad for x in (*found.activations.values(), *found.gradients.values(), found.metric))


def test_the_choice_of_sites_does_not_change_a_gradient(tiny_host, batch):
    everywhere = tiny_host.gradients(batch, SITES, metric).gradients
    for site in SITES:
        assert torch.equal(tiny_host.gradients(batch, [site], metric).gradients[site], everywhere[site])


def test_gradients_pass_through_edits(tiny_host, plain, batch):
    edits = {Site("mlp_out", 1): lambda x: 0.5 * x, Site("resid_post", 0): lambda x: x + 1}
    found = tiny_host.gradients(batch, SITES, metric, edits)
    values, gradients = plain_gradients(plain, batch, edits=edits)
    assert torch.equal(found.metric, values)
    assert all(torch.equal(found.gradients[site], gradients[site]) for site in SITES)


def test_a_site_that_an_edit_cuts_off_has_gradient_zero(tiny_host, batch):
    edits = {Site("resid_post", 1): lambda x: torch.ones_like(x)}
    found = tiny_host.gradients(batch, [Site("mlp_out", 1), Site("resid_post", 1)], metric, edits)
    assert found.gradients[Site("mlp_out", 1)].abs().sum() == 0
    assert found.gradients[Site("resid_post", 1)].abs().sum() > 0


def test_rows_do_not_mix(tiny_host, batch):
    alone = tiny_host.batch([tiny_host.tokenise("w1 w2 w3")])
    together = tiny_host.gradients(batch, SITES, metric).gradients
    single = tiny_host.gradients(alone, SITES, metric).gradients
    for site in SITES:
        torch.testing.assert_close(together[site][:1, -4:], single[site], atol=1e-5, rtol=1e-5)


def test_padding_has_gradient_zero(tiny_host, batch):
    for gradient in tiny_host.gradients(batch, SITES, metric).gradients.values():
        assert gradient[0, :3].abs().sum() == 0


def test_a_metric_of_the_kept_positions_sees_only_those(tiny_host, batch):
    shapes = []

    def last(logits):
        shapes.append(logits.shape)
        return metric(logits)

    kept = tiny_host.gradients(batch, SITES, last, logits_to_keep=1).gradients
    everything = tiny_host.gradients(batch, SITES, metric).gradients
    assert shapes == [(2, 1, 48)]
    for site in SITES:
        torch.testing.assert_close(kept[site], everything[site], atol=1e-5, rtol=1e-4)


def test_a_metric_that_ignores_the_logits_is_refused(tiny_host, batch):
    with pytest.raises(ValueError, match="the metric does not depend on the sites"):
        tiny_host.gradients(batch, SITES, lambda logits: torch.zeros(2))


def test_a_failing_metric_leaves_nothing_behind(tiny_host, plain, batch):
    with pytest.raises(IndexError):
        tiny_host.gradients(batch, SITES, lambda logits: logits[:, -1, 99])
    assert torch.equal(tiny_host.gradients(batch, SITES, metric).metric, metric(plain_logits(plain, batch)))


@pytest.mark.parametrize("site", SITES, ids=str)
def test_gradient_at_a_site_is_that_of_a_hook_that_puts_the_activation_there(tiny_host, plain, batch, site):
    held = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(1))
    values, gradient = tiny_host.gradient_at(batch, site, held, metric)
    leaf = held.clone().requires_grad_(True)
    with plain_hooks(plain, {site: lambda x: leaf}):
        expected = metric(plain_logits(plain, batch))
    assert torch.equal(values, expected.detach())
    assert torch.equal(gradient, torch.autograd.grad(expected.sum(), leaf)[0])


@pytest.mark.parametrize("site", [site for site in SITES if site.kind in ("attn_out", "mlp_out")], ids=str)
def test_a_known_layer_input_gives_the_same_gradient(tiny_host, batch, site):
    held = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(1))
    before = Site("resid_post", site.layer - 1) if site.layer else Site("embed", None)
    layer_input = tiny_host.capture(batch, [before])[before]
    expected = tiny_host.gradient_at(batch, site, held, metric)
    found = tiny_host.gradient_at(batch, site, held, metric, layer_input=layer_input)
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("site", "with_input", "layers_run"),
    [("resid_post.1", False, [2]), ("mlp_out.1", False, [0, 1, 2]), ("mlp_out.1", True, [1, 2])],
)
def test_gradient_at_skips_the_layers_that_cannot_matter(site, with_input, layers_run):
    host = tiny_llama()
    ran = []
    for index, layer in enumerate(host._model.model.layers):
        layer.input_layernorm.register_forward_pre_hook(lambda *_, index=index: ran.append(index))
    batch = host.batch([host.tokenise("w1 w2")])
    stream = torch.randn(1, 3, 32)
    host.gradient_at(batch, Site.parse(site), stream, metric, layer_input=stream if with_input else None)
    assert ran == layers_run


def test_a_site_that_the_model_lacks_cannot_be_held(tiny_host, batch):
    with pytest.raises(ValueError, match=r"the model has no site mlp_out\.3"):
        tiny_host.gradient_at(batch, Site("mlp_out", 3), torch.zeros(2, 7, 32), metric)


def test_the_graph_is_cut_at_every_site(tiny_host, batch):
    graph = tiny_host.cut_graph(batch, SITES)
    captured = tiny_host.capture(batch, SITES)
    for site in SITES:
        assert torch.equal(graph.inputs[site], captured[site])
        assert torch.equal(graph.leaves[site], captured[site])
        assert graph.leaves[site].is_leaf


def direct_gradient(plain, batch, source, target, stopped, cotangent):
    """Vector-Jacobian product from `target` to `source` with every other path stopped, by hooks."""
    found = {}

    def cut(x):
        found["source"] = x.detach().requires_grad_(True)
        return found["source"]

    visits = {site: lambda x: x.detach() for site in stopped}
    visits |= {source: cut, target: lambda x: found.update(target=x)}
    with plain_hooks(plain, visits):
        plain_logits(plain, batch)
    return torch.autograd.grad(found["target"], found["source"], cotangent)[0]


@pytest.mark.parametrize(
    ("source", "target", "among"),
    [
        ("resid_post.0", "attn_out.1", "all"),
        ("embed", "attn_out.0", "all"),
        ("attn_out.1", "mlp_out.1", "all"),
        ("resid_post.0", "mlp_out.1", "all"),
        ("mlp_out.1", "resid_post.1", "all"),
        ("resid_post.0", "resid_post.1", "all"),
        ("resid_post.0", "resid_post.1", "resid_post"),
        ("mlp_out.0", "mlp_out.2", "mlp_out"),
    ],
)
def test_direct_effects_are_those_with_every_other_path_stopped(tiny_host, plain, batch, source, target, among):
    sites = [site for site in SITES if among in ("all", site.kind)]
    source, target = Site.parse(source), Site.parse(target)
    graph = tiny_host.cut_graph(batch, sites)
    cotangent = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(2))
    found = torch.autograd.grad(graph.inputs[target], graph.leaves[source], cotangent)[0]
    stopped = [site for site in sites if site not in (source, target)]
    expected = direct_gradient(plain, batch, source, target, stopped, cotangent)
    assert found.abs().sum() > 0
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_what_arrives_at_a_site_depends_on_its_parents_only(tiny_host, batch):
    graph = tiny_host.cut_graph(batch, SITES)
    for target in SITES[1:]:
        leaves = [graph.leaves[site] for site in SITES]
        total = graph.inputs[target].square().sum()
        gradients = torch.autograd.grad(total, leaves, allow_unused=True, retain_graph=True)
        reached = [site for site, gradient in zip(SITES, gradients, strict=True) if gradient is not None]
        assert reached == tiny_host.parents(target, SITES)


def test_many_products_can_be_taken_at_once(tiny_host, batch):
    graph = tiny_host.cut_graph(batch, SITES)
    target, source = Site("mlp_out", 1), Site("resid_post", 0)
    cotangents = torch.randn(5, 2, 7, 32, generator=torch.Generator().manual_seed(3))
    wanted = graph.inputs[target], graph.leaves[source]
    together = torch.autograd.grad(*wanted, cotangents, is_grads_batched=True, retain_graph=True)[0]
    for index, cotangent in enumerate(cotangents):
        single = torch.autograd.grad(*wanted, cotangent, retain_graph=True)[0]
        torch.testing.assert_close(together[index], single, atol=1e-6, rtol=1e-5)


def test_what_an_mlp_reads_can_be_seen_in_a_cut_graph_without_cutting_there(tiny_host, batch):
    read, target = Site("mlp_in", 1), Site("mlp_out", 1)
    seen = tiny_host.cut_graph(batch, SITES, input_sites=[read])
    cut = tiny_host.cut_graph(batch, [*SITES, read])
    assert list(seen.leaves) == list(SITES)
    assert torch.equal(seen.inputs[read], tiny_host.capture(batch, [read])[read])
    cotangent = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(3))
    parents = tiny_host.parents(read, SITES)
    assert parents == [Site("resid_post", 0), Site("attn_out", 1)]
    found, expected = (
        torch.autograd.grad(
            graph.inputs[read], [graph.leaves[site] for site in parents], cotangent, retain_graph=graph is seen
        )
        for graph in (seen, cut)
    )
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    assert torch.autograd.grad(seen.inputs[target].sum(), seen.leaves[parents[0]])[0].abs().sum() > 0


def half_and_rounded() -> tuple[HostModel, HostModel]:
    """A bfloat16 model, and the float32 model of the same weights."""
    half, rounded = tiny_llama_model(), tiny_llama_model()
    for model in (half, rounded):
        for parameter in model.parameters():
            parameter.data = parameter.data.bfloat16()
    for parameter in rounded.parameters():
        parameter.data = parameter.data.float()
    return tuple(HostModel(model, tiny_tokenizer(), name="tiny") for model in (half, rounded))


def test_gradients_of_a_bfloat16_model_are_taken_in_float32(batch):
    half, rounded = half_and_rounded()
    assert half.dtype == torch.bfloat16
    found, expected = half.gradients(batch, SITES, metric), rounded.gradients(batch, SITES, metric)
    assert torch.equal(found.metric, expected.metric)
    assert all(torch.equal(found.gradients[site], expected.gradients[site]) for site in SITES)
    assert half.capture(batch, SITES[:1])[SITES[0]].dtype == torch.bfloat16


def test_a_bfloat16_model_is_held_and_cut_in_float32(batch):
    half, rounded = half_and_rounded()
    site = Site("mlp_out", 1)
    stream = half.capture(batch, [site])[site]
    found = half.gradient_at(batch, site, stream, metric, layer_input=stream)
    expected = rounded.gradient_at(batch, site, stream.float(), metric, layer_input=stream.float())
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    graph = half.cut_graph(batch, SITES)
    gradient = torch.autograd.grad(graph.inputs[site].sum(), graph.leaves[Site("attn_out", 1)])[0]
    assert gradient.dtype == torch.float32
    assert torch.equal(graph.inputs[site], rounded.cut_graph(batch, SITES).inputs[site])
