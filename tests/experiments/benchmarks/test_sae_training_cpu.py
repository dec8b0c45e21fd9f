"""Speed beside a peer, and that a race gives a row to every contestant."""

import pytest

pytest.importorskip("sae_lens")

from experiments.benchmarks.sae_training_cpu import Setting, compare, speeds


def test_speeds_by_hand():
    """Of 100 tokens a turn; the machine was slow in the last turn, for both."""
    found = speeds([1.0, 2.0, 10.0], [4.0, 6.0, 50.0], tokens=100)

    assert found == {
        "tokens_per_second": 50,
        "tokens_per_second_low": 10,
        "tokens_per_second_high": 100,
        "times_sae_lens": 4.0,
    }


def test_all_contestants_are_trained_on_the_same_tokens_to_the_same_l0():
    setting = Setting("synthetic", 16, 64, 4, steps=40, steps_a_turn=2, learning_rate=1e-2, batch_tokens=128)

    rows = compare(setting)

    assert [row["implementation"] for row in rows] == ["ours, JumpReLU", "ours, BatchTopK", "sae-lens"]
    assert rows[-1]["times_sae_lens"] == 1
    for row in rows:
        assert row["tokens"] == 40 * 128
        assert row["held_out_l0"] == pytest.approx(4, rel=0.1)
        assert row["held_out_fvu"] < 0.9
