"""Schedules, and settings that cannot be."""

import pytest

from sae.training.config import BatchTopKConfig, JumpReLUConfig, MatryoshkaConfig


def test_k_and_learning_rate_of_a_step():
    config = BatchTopKConfig(d_sae=1024, k=4, steps=1000)

    assert [config.k_at(step) for step in (0, 75, 150, 999)] == [32, 18, 4, 4]
    assert [config.learning_rate_factor(step) for step in (0, 99, 500, 700, 850)] == pytest.approx([0.01, 1, 1, 1, 0.5])
    assert BatchTopKConfig(d_sae=16, k=4).k_at(0) == 16


def test_the_l0_target_falls_geometrically_from_what_there_was():
    config = JumpReLUConfig(d_sae=1024, l0=4, steps=1000, anneal_share=0.2)

    assert [config.l0_at(step, initial=64.0) for step in (0, 100, 200, 999)] == pytest.approx([64, 16, 4, 4])
    assert config.l0_at(0, initial=1.0) == 4


def test_thresholds_follow_to_the_end():
    config = JumpReLUConfig(d_sae=16, l0=4, steps=1000, warmup_steps=10)

    assert (config.learning_rate_factor(999), config.warmup_factor(999)) == (pytest.approx(1 / 300), 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"d_sae": 0}, "d_sae is 0, expected more than 0"),
        ({"l0": 65}, r"l0 is 65\.0, expected more than 0 and at most d_sae, 64"),
        ({"l0": float("nan")}, "l0 is nan"),
        ({"steps": -1}, "steps is -1"),
        ({"decay_share": 1.5}, r"decay_share is 1\.5, expected a share between 0 and 1"),
        ({"bandwidth": 0.0}, r"bandwidth is 0\.0, expected more than 0"),
        ({"initial_threshold": -0.1}, r"initial_threshold is -0\.1, expected 0 or more"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        JumpReLUConfig(**({"d_sae": 64, "l0": 2} | changes))


def test_prefixes_are_shares_of_the_width():
    assert MatryoshkaConfig(d_sae=1000, k=4).prefix_sizes == (62, 125, 250, 500, 1000)
    assert MatryoshkaConfig(d_sae=10, k=4, prefixes=(1 / 3, 1)).to_json()["prefix_sizes"] == [3, 10]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prefixes": ()}, "prefixes are , expected increasing shares of d_sae that end at 1"),
        ({"prefixes": (0.5,)}, r"prefixes are 0\.5, expected increasing"),
        ({"prefixes": (0.5, 0.25, 1)}, r"prefixes are 0\.5,0\.25,1, expected increasing"),
        ({"prefixes": (0.5, 2, 1)}, "expected increasing"),
        ({"prefixes": (0.0, 1)}, "expected increasing"),
        ({"prefixes": (float("nan"), 1)}, "expected increasing"),
        ({"prefixes": (0.001, 1)}, r"prefixes 0\.001,1 have 0, 64 of 64 features, expected at least 1"),
        ({"prefixes": (0.5, 0.501, 1)}, r"have 32, 32, 64 of 64 features, .* no two alike; give others or a larger"),
        ({"kernel": "triton"}, "kernel is 'triton', but matryoshka needs one of auto, dense, sparse"),
    ],
)
def test_prefixes_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        MatryoshkaConfig(**({"d_sae": 64, "k": 2} | changes))
