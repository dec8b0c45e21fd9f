"""What is timed on a GPU: the sizes, the L0 that they have, and the bytes that are counted."""

import pytest
import torch

from experiments.benchmarks.step_cases import (
    CASES,
    HEADLINE,
    Case,
    dictionary_with_l0,
    floor_milliseconds,
    least_bytes,
)

CPU = torch.device("cpu")


def test_the_headline_comes_first_and_once():
    assert CASES[0] == HEADLINE == Case(65_536, 4096, 64)
    assert len(set(CASES)) == len(CASES) == 18


def test_tokens_have_the_wanted_l0_and_features_unlike_frequencies():
    weights, x = dictionary_with_l0(Case(256, 4000, 8, d_model=32), device=CPU)

    active = x @ weights.encoder_rows.T > weights.threshold

    assert float(active.sum(1).float().mean()) == pytest.approx(8, rel=0.05)
    frequencies = active.float().mean(0).sort().values
    assert frequencies[-10:].mean() > 20 * frequencies[:10].mean()


def test_bytes_of_a_decode_by_hand():
    """Two tokens of width 3, four entries: a bfloat16 row and three numbers each; x is read and r written."""
    case = Case(d_sae=8, n_tokens=2, l0=2, d_model=3)

    assert least_bytes(case, "decode", density=4 / 16) == 4 * (6 + 12) + 2 * 3 * (4 + 2)


def test_bytes_of_a_step_by_hand():
    """Beside the decode: the encoder, pre-activations written and read, two rows an entry, and all weights."""
    case = Case(d_sae=8, n_tokens=2, l0=2, d_model=3)
    decode = least_bytes(case, "decode", density=4 / 16)
    shared = decode + 2 * (8 * 3 + 2 * 3) + 2 * 2 * 16 + 4 * 2 * 6

    assert least_bytes(case, "step", density=4 / 16) == shared + 26 * 48
    assert least_bytes(case, "gradients", density=4 / 16) == shared + 4 * 48


def test_the_floor_is_arithmetic_and_then_bytes():
    """1.65e12 operations at 790e12 a second take 2.09 ms, as long as the matrix product alone would."""
    step = floor_milliseconds(HEADLINE, "step", density=64 / 65_536)
    bytes_alone = least_bytes(HEADLINE, "step", density=64 / 65_536) / 4.3e12 * 1e3

    assert step - bytes_alone == pytest.approx(2.09, abs=0.01)
    assert floor_milliseconds(HEADLINE, "decode", density=64 / 65_536) == pytest.approx(0.39, abs=0.03)
