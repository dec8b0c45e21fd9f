"""A narrower model computes as its float32 copy, and no copy of its weights outlives the module that needed it."""

from copy import deepcopy

import torch
from torch import nn

from sae.host.float32_arithmetic import float32_arithmetic


def narrow_model():
    torch.manual_seed(0)
    return (
        nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 4)).bfloat16().requires_grad_(False)
    )


def test_values_and_batched_gradients_are_those_of_the_float32_copy():
    model = narrow_model()
    x = torch.randn(3, 5, 8, requires_grad=True)
    with float32_arithmetic(model):
        found = model(x)
    expected = deepcopy(model).float()(x)
    assert torch.equal(found, expected)
    rows = torch.randn(6, *found.shape)
    gradients = [torch.autograd.grad(y, x, rows, is_grads_batched=True)[0] for y in (found, expected)]
    assert torch.equal(*gradients)


def test_the_graph_keeps_the_stored_weights():
    model = narrow_model()
    with float32_arithmetic(model):
        y = model(torch.randn(3, 5, 8, requires_grad=True))
    kept, nodes = [], [y.grad_fn]
    while nodes:
        node = nodes.pop()
        kept += [getattr(node, name) for name in dir(node) if name.startswith("_raw_saved_")]
        nodes += [parent for parent, _ in node.next_functions if parent is not None]
    weights = {module.weight.data_ptr() for module in model if isinstance(module, nn.Linear)}
    assert weights <= {raw.data.stored.data_ptr() for raw in kept if hasattr(raw.data, "stored")}


def test_the_model_is_as_before_even_after_an_error():
    model = narrow_model()
    before = dict(model.named_parameters())
    try:
        with float32_arithmetic(model):
            model(torch.randn(3, 9))
    except RuntimeError:
        pass
    assert all(parameter is before[name] for name, parameter in model.named_parameters())
    assert not any("forward" in module.__dict__ for module in model.modules())
