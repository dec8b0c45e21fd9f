"""Linearised gradients against a Llama written out in plain torch, and what holds of them in every family."""

import math

import pytest
import torch
from tiny_models import VISION, tiny_llama, tiny_llama_model, tiny_tokenizer
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM

from sae.host.host import HostModel
from sae.host.linear_rules import half, plain, ratio
from sae.host.linearisation import LINEARISATIONS, linearised
from sae.host.sites import Site, all_sites

SITES = all_sites(3)
LINEAR = LINEARISATIONS[1:]
FAMILIES = ("llama", "qwen2", "qwen3", "gemma2", "gemma3_text", "gemma3", "gpt_neox")


def metric(logits):
    return logits[:, -1, 20] - logits[:, -1, 30]


@pytest.fixture(scope="module")
def batch(tiny_host):
    return tiny_host.batch([tiny_host.tokenise("w1 w2 w3"), tiny_host.tokenise("w4 w5 w6 w7 w8 w9")])


class PlainLlama:
    """The tiny Llama by its equations, one row without padding; every site is kept, every factor held by hand."""

    def __init__(self, linearisation):
        self.model, self.linearisation, self.sites = tiny_llama_model().requires_grad_(False), linearisation, {}
        self.is_linear = linearisation != "plain"

    def metric(self, ids):
        x = self.at("embed", None, functional.embedding(ids, self.model.model.embed_tokens.weight).requires_grad_(True))
        for i, layer in enumerate(self.model.model.layers):
            attention = self.attention(layer.self_attn, self.norm(layer.input_layernorm, x))
            x = x + self.at("attn_out", i, attention)
            mlp = self.at("mlp_out", i, self.mlp(layer.mlp, self.norm(layer.post_attention_layernorm, x)))
            x = self.at("resid_post", i, x + mlp)
        return metric(self.norm(self.model.model.norm, x)[None] @ self.model.lm_head.weight.T)[0]

    def at(self, kind, layer, x):
        self.sites[Site(kind, layer)] = x
        return x

    def norm(self, norm, x):
        scale = 1 / (x.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon).sqrt()
        return norm.weight * x * (scale.detach() if self.is_linear else scale)

    def attention(self, attention, x):
        width, n = attention.head_dim, len(x)
        q, k, v = (
            (x @ projection.weight.T).view(n, -1, width).transpose(0, 1)
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        repeats = len(q) // len(k)
        q, k = rotated(q), rotated(k).repeat_interleave(repeats, dim=0)
        hidden_later = torch.full((n, n), -math.inf).triu(1)
        pattern = (q @ k.transpose(1, 2) / math.sqrt(width) + hidden_later).softmax(-1)
        mixed = (pattern.detach() if self.is_linear else pattern) @ v.repeat_interleave(repeats, dim=0)
        return mixed.transpose(0, 1).reshape(n, -1) @ attention.o_proj.weight.T

    def mlp(self, mlp, x):
        g, b = x @ mlp.gate_proj.weight.T, x @ mlp.up_proj.weight.T
        a = g * g.sigmoid()
        if self.linearisation == "frozen":
            a = a.detach()
        if self.linearisation == "relp":
            a = g * g.sigmoid().detach()
            return (0.5 * (a * b.detach() + a.detach() * b)) @ mlp.down_proj.weight.T
        return (a * b) @ mlp.down_proj.weight.T


def rotated(x):
    half_width = x.shape[-1] // 2
    angles = torch.arange(x.shape[1])[:, None] / 10000 ** (torch.arange(half_width) / half_width)
    left, right = x.chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1)


@pytest.mark.parametrize("linearisation", LINEARISATIONS)
def test_gradients_at_all_sites_equal_those_of_the_written_out_llama(tiny_host, linearisation):
    ids = tiny_host.tokenise("w4 w5 w6 w7 w8 w9")
    found = tiny_host.gradients(tiny_host.batch([ids]), SITES, metric, linearisation=linearisation)
    oracle = PlainLlama(linearisation)
    value = oracle.metric(ids)
    torch.testing.assert_close(found.metric[0], value.detach(), atol=1e-5, rtol=0)
    gradients = torch.autograd.grad(value, [oracle.sites[site] for site in SITES])
    for site, expected in zip(SITES, gradients, strict=True):
        torch.testing.assert_close(found.gradients[site][0], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("linearisation", LINEAR)
def test_values_stay_bit_for_bit(tiny_host, batch, linearisation):
    found = tiny_host.gradients(batch, SITES, metric, linearisation=linearisation)
    expected = tiny_host.gradients(batch, SITES, metric)
    assert torch.equal(found.metric, expected.metric)
    assert all(torch.equal(found.activations[site], expected.activations[site]) for site in SITES)
    assert not torch.equal(found.gradients[SITES[0]], expected.gradients[SITES[0]])


@pytest.mark.parametrize("linearisation", LINEAR)
def test_padding_changes_nothing(tiny_host, batch, linearisation):
    together = tiny_host.gradients(batch, SITES, metric, linearisation=linearisation)
    alone = tiny_host.gradients(
        tiny_host.batch([tiny_host.tokenise("w1 w2 w3")]), SITES, metric, linearisation=linearisation
    )
    for site in SITES:
        torch.testing.assert_close(together.gradients[site][:1, -4:], alone.gradients[site], atol=1e-5, rtol=0)


def tiny_model(family):
    """A random model of two layers with weights for every norm, and no caps on its logits."""
    settings = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 64,
        "head_dim": 8,
        "vocab_size": 48,
        "max_position_embeddings": 64,
        "initializer_range": 0.2,
        "pad_token_id": 0,
    }
    caps = {"final_logit_softcapping": None} if family.startswith("gemma") else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        everything = (
            settings | caps if family != "gemma3" else {"text_config": settings | caps, "vision_config": VISION}
        )
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **everything)).eval()
        for name, weight in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                weight.data += 0.3 * torch.randn_like(weight)
    return model.requires_grad_(False)


def logit_and_stream(model, linearisation):
    """One logit, the embedding it comes from, and the derivative."""
    embedding = model.get_input_embeddings()
    stream = embedding(torch.arange(5, 12)[None]).requires_grad_(True)
    with linearised(model, linearisation):
        scaled = {} if not hasattr(embedding, "embed_scale") else {"position_ids": torch.arange(7)[None]}
        logit = model(inputs_embeds=stream, use_cache=False, **scaled).logits[0, -1, 20]
    return logit.detach(), stream.detach(), torch.autograd.grad(logit, stream)[0]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("linearisation", LINEAR)
def test_in_every_family_the_linear_model_gives_its_logit_back(family, linearisation):
    model = tiny_model(family)
    expected, _, of_plain = logit_and_stream(model, "plain")
    logit, stream, gradient = logit_and_stream(model, linearisation)
    assert torch.equal(logit, expected)
    assert (gradient * stream).sum().item() == pytest.approx(logit.item(), rel=1e-4, abs=1e-4)
    assert (of_plain * stream).sum().item() != pytest.approx(logit.item(), rel=1e-2, abs=1e-2)


def test_an_exception_leaves_no_trace(batch):
    host = tiny_llama()
    before = host.gradients(batch, SITES, metric)
    forwards = {name: module.__dict__.get("forward") for name, module in host._model.named_modules()}

    def broken(_logits):
        raise RuntimeError("the metric failed")

    with pytest.raises(RuntimeError, match="the metric failed"):
        host.gradients(batch, SITES, broken, linearisation="relp")
    assert forwards == {name: module.__dict__.get("forward") for name, module in host._model.named_modules()}
    after = host.gradients(batch, SITES, metric)
    assert all(torch.equal(before.gradients[site], after.gradients[site]) for site in SITES)


def test_a_model_that_nobody_wrapped_has_its_own_forwards_back():
    model = tiny_model("llama")
    with linearised(model, "frozen"):
        assert "forward" in model.model.norm.__dict__
    assert not any("forward" in module.__dict__ for module in model.modules())


def rounded_host(dtype):
    """The random Llama with weights rounded to bfloat16, kept as `dtype`."""
    model = tiny_llama_model()
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16().to(dtype)
    return HostModel(model, tiny_tokenizer(), name="tiny")


def test_a_bfloat16_model_is_linearised_in_float32(batch):
    found, expected = (
        rounded_host(dtype).gradients(batch, SITES, metric, linearisation="relp")
        for dtype in (torch.bfloat16, torch.float32)
    )
    assert all(torch.equal(found.gradients[site], expected.gradients[site]) for site in SITES)


def test_an_activation_at_zero_passes_nothing_and_stays_finite():
    x = torch.tensor([0.0, 1.0, -2.0], requires_grad=True)
    value = ratio(None, functional.silu, x)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    assert torch.equal(value.detach(), functional.silu(x.detach()))
    torch.testing.assert_close(gradient, torch.tensor([0.0, 1.0, -2.0]).sigmoid() * torch.tensor([0.0, 1.0, 1.0]))


def test_halved_factors_pass_a_product_on_once():
    a, b = torch.tensor(3.0, requires_grad=True), torch.tensor(-2.0, requires_grad=True)
    product = half(plain)(None, lambda x: x, a) * half(plain)(None, lambda x: x, b)
    by_a, by_b = torch.autograd.grad(product, [a, b])
    assert (a * by_a + b * by_b).item() == product.item() == -6.0


def test_what_cannot_be_linearised_is_refused(tiny_host, batch):
    with pytest.raises(ValueError, match="linearisation 'magic' is unknown, expected one of plain, frozen, relp"):
        tiny_host.gradients(batch, SITES, metric, linearisation="magic")
    with pytest.raises(ValueError, match="edits and linearisation 'relp' were both given"):
        tiny_host.gradients(batch, SITES, metric, {SITES[0]: lambda x: x}, linearisation="relp")
    model = tiny_llama_model()
    model.config.model_type = "abacus"
    with (
        pytest.raises(ValueError, match="model family 'abacus' has no linearisation 'frozen', only: llama"),
        linearised(model, "frozen"),
    ):
        pass
