"""Methods that are no edits, against doing by hand what they say."""

import pytest
import torch

from steering.dictionaries import Dictionaries
from steering.positions import read_prompt
from steering.steered_host import SteeredHost
from steering.sweep.hint import HintMethod
from steering.sweep.logit_bias import LogitBias

NEW = torch.tensor([9, 8, 7])


@pytest.fixture(scope="module")
def prompts(tiny_host):
    return [read_prompt(tiny_host, text) for text in ("w1 w2 w3", "w4 w5 w6 w7 w8")]


def plain_logits(host, ids):
    return host.forward(host.batch([ids])).logits[0]


@pytest.mark.parametrize(
    ("positions", "biased"), [("last", [0]), ("prompt", [0]), ("all", [0, 1, 2, 3]), ("generated", [0, 1, 2, 3])]
)
def test_a_bias_acts_where_an_edit_would(tiny_host, prompts, positions, biased):
    found = LogitBias(tiny_host, 20, positions).forward(prompts, [2.0, 0.0], [NEW, NEW])
    assert found.logits.shape[:2] == (2, 4)
    for row, strength in enumerate((2.0, 0.0)):
        expected = plain_logits(tiny_host, torch.cat([prompts[row].ids, NEW]))[-4:].clone()
        expected[biased, 20] += strength
        torch.testing.assert_close(found.logits[row], expected, atol=1e-4, rtol=1e-4)


def test_a_large_bias_is_written_where_it_acts(tiny_host, prompts):
    at_last = LogitBias(tiny_host, 20, "last").generate(prompts, [1e4, 0.0], max_new_tokens=4)
    everywhere = LogitBias(tiny_host, 20, "generated").generate(prompts, [1e4, 0.0], max_new_tokens=4)
    assert at_last[0].new_ids[0] == 20
    assert everywhere[0].new_ids.tolist() == [20] * 4
    after = tiny_host.generate(tiny_host.batch([torch.cat([prompts[0].ids, torch.tensor([20])])]), max_new_tokens=3)
    assert at_last[0].new_ids.tolist() == [20, *after[0, -3:].tolist()]
    plain = tiny_host.generate(tiny_host.batch([prompts[1].ids]), max_new_tokens=4)[0, -4:]
    assert at_last[1].new_ids.tolist() == everywhere[1].new_ids.tolist() == plain.tolist()


def test_a_hint_is_said_as_often_as_asked(tiny_host, prompts):
    method = HintMethod(SteeredHost(tiny_host, Dictionaries(tiny_host, saes={})), "w30 w31")
    found = method.forward(prompts, [2.0, 0.0], [NEW, NEW])
    hinted = tiny_host.tokenise("w30 w31 w30 w31 w1 w2 w3")
    expected = plain_logits(tiny_host, torch.cat([hinted, NEW]))[-4:]
    torch.testing.assert_close(found.logits[0], expected, atol=1e-4, rtol=1e-4)
    expected = plain_logits(tiny_host, torch.cat([prompts[1].ids, NEW]))[-4:]
    torch.testing.assert_close(found.logits[1], expected, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match=r"cannot be given 0\.5 times"):
        method.forward(prompts, [0.5, 0.0], [NEW, NEW])
