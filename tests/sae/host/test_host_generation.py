import json
import shutil

import pytest
import torch
from plain_hooks import plain_hooks
from tiny_models import tiny_llama, tiny_llama_model

from sae.host.host import HostModel
from sae.host.sites import Site

SITE = Site("resid_post", 1)


@pytest.fixture(scope="module")
def plain():
    return tiny_llama_model()


@pytest.fixture(scope="module")
def batch(tiny_host):
    return tiny_host.batch([tiny_host.tokenise("w1 w2 w3"), tiny_host.tokenise("w4 w5 w6 w7 w8 w9")])


def plain_generate(plain, batch, n, **options):
    return plain.generate(
        input_ids=batch.ids, attention_mask=batch.attention_mask, max_new_tokens=n, do_sample=False, **options
    )


def push(x):
    return x + torch.linspace(-2, 2, 32)


def test_greedy_text_is_the_models_own(tiny_host, plain, batch):
    ids = tiny_host.generate(batch, max_new_tokens=6)
    assert torch.equal(ids, plain_generate(plain, batch, 6))
    assert torch.equal(ids[:, : batch.ids.shape[1]], batch.ids)


def test_padded_rows_continue_as_they_would_alone(tiny_host, batch):
    alone = tiny_host.batch([tiny_host.tokenise("w1 w2 w3")])
    assert torch.equal(
        tiny_host.generate(batch, max_new_tokens=6)[0, -6:], tiny_host.generate(alone, max_new_tokens=6)[0, -6:]
    )


@pytest.mark.parametrize("site", [Site("embed", None), Site("attn_out", 0), Site("mlp_out", 2), SITE], ids=str)
def test_edits_are_token_for_token_those_of_forward_hooks(tiny_host, plain, batch, site):
    ids = tiny_host.generate(batch, max_new_tokens=8, edits={site: push})
    with plain_hooks(plain, {site: push}):
        assert torch.equal(ids, plain_generate(plain, batch, 8))
    assert not torch.equal(ids, tiny_host.generate(batch, max_new_tokens=8))


def test_several_edits_act_at_every_step(tiny_host, plain, batch):
    edits = {SITE: push, Site("attn_out", 0): lambda x: 2 * x}
    with plain_hooks(plain, edits):
        expected = plain_generate(plain, batch, 8)
    assert torch.equal(tiny_host.generate(batch, max_new_tokens=8, edits=edits), expected)


def test_an_edit_sees_the_prompt_and_then_one_position_a_step(tiny_host, batch):
    shapes = []
    tiny_host.generate(batch, max_new_tokens=3, edits={SITE: lambda x: shapes.append(tuple(x.shape)) or x})
    assert shapes == [(2, 7, 32), (2, 1, 32), (2, 1, 32)]


def test_text_ends_at_the_end_of_text_token(tiny_host, batch, tiny_llama_path, tmp_path):
    third = int(tiny_host.generate(batch, max_new_tokens=3)[0, -1])
    path = shutil.copytree(tiny_llama_path, tmp_path / "model")
    (path / "generation_config.json").write_text(json.dumps({"eos_token_id": third}))
    host = HostModel.load(str(path))
    alone = host.batch([host.tokenise("w1 w2 w3")])
    for edits in ({}, {SITE: lambda x: x}):
        assert host.generate(alone, max_new_tokens=9, edits=edits).shape[1] <= 7


def test_the_models_own_sampling_settings_are_not_used(plain, batch, tiny_llama_path, tmp_path):
    path = shutil.copytree(tiny_llama_path, tmp_path / "model")
    settings = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "repetition_penalty": 2.0}
    (path / "generation_config.json").write_text(json.dumps(settings))
    host = HostModel.load(str(path))
    greedy = plain_generate(plain, batch, 8, eos_token_id=-1)
    assert torch.equal(host.generate(batch, max_new_tokens=8), greedy)


def test_drawing_is_repeatable_by_seed_and_leaves_the_random_state_alone(tiny_host, batch):
    options = {"max_new_tokens": 12, "do_sample": True, "temperature": 3.0}
    state = torch.random.get_rng_state()
    first, second = (tiny_host.generate(batch, seed=7, **options) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, tiny_host.generate(batch, seed=8, **options))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_drawing_from_one_token_is_greedy(tiny_host, batch):
    drawn = tiny_host.generate(batch, max_new_tokens=6, do_sample=True, top_k=1, seed=0)
    assert torch.equal(drawn, tiny_host.generate(batch, max_new_tokens=6))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0, expected at least 1"),
        ({"max_new_tokens": 58}, "the prompt with its continuation has 65 tokens, but model 'tiny' takes at most 64"),
        ({"max_new_tokens": 1, "do_sample": True, "temperature": 0.0}, "temperature is 0.0, expected a number above"),
        ({"max_new_tokens": 1, "do_sample": True, "top_k": -1}, "top_k is -1, expected a number of tokens"),
        ({"max_new_tokens": 1, "do_sample": True, "top_p": 1.5}, "top_p is 1.5, expected a probability"),
    ],
)
def test_what_cannot_be_is_refused(tiny_host, batch, options, message):
    with pytest.raises(ValueError, match=message):
        tiny_host.generate(batch, **options)


def test_a_failing_edit_raises_its_own_error_and_leaves_nothing_behind(batch):
    host = tiny_llama()
    expected = host.generate(batch, max_new_tokens=4)

    def fail_after_the_prompt(x):
        if x.shape[1] == 1:
            raise KeyError("on purpose")
        return x

    with pytest.raises(KeyError, match="on purpose"):
        host.generate(batch, max_new_tokens=4, edits={SITE: fail_after_the_prompt})
    assert torch.equal(host.generate(batch, max_new_tokens=4), expected)
