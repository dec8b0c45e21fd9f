"""What a store's settings may be, and what stands for them."""

import pytest

from sae.activations.store.configuration import StoreConfiguration
from sae.host.sites import Site

SITES = (Site("embed", None), Site("resid_post", 2))
REQUIRED = {
    "host": "abc",
    "host_dtype": "float32",
    "sites": SITES,
    "d_model": 8,
    "corpus": "words",
    "n_tokens": 1000,
    "held_out_tokens": 50,
}


def configuration(**settings):
    return StoreConfiguration(**{**REQUIRED, **settings})


def test_json_gives_the_same_configuration():
    assert StoreConfiguration.from_json(configuration().to_json()) == configuration()


@pytest.mark.parametrize("setting", [{"seed": 1}, {"host": "abd"}, {"sites": SITES[:1]}, {"dtype": "int8"}])
def test_the_hash_knows_every_setting(setting):
    assert configuration(**setting).content_hash != configuration().content_hash
    assert configuration().content_hash == configuration().content_hash


def test_differences_are_named():
    assert configuration(dtype="int8").differences(configuration(seed=3)) == [
        "dtype 'bfloat16' instead of 'int8'",
        "seed 3 instead of 0",
    ]


def test_shards_hold_all_tokens():
    assert [configuration(n_tokens=n, shard_tokens=100).n_shards for n in (1, 100, 101)] == [1, 1, 2]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"dtype": "float64"}, "dtype is 'float64', expected one of: bfloat16, int8"),
        ({"sites": ()}, "expected at least one"),
        ({"sites": SITES[::-1]}, "each once, sorted"),
        ({"n_tokens": 0}, "n_tokens is 0, expected at least 1"),
        ({"held_out_tokens": 0}, "held_out_tokens is 0"),
        ({"context_tokens": 1}, "context_tokens is 1, expected at least 2"),
        ({"outlier_multiple": 1.0}, "outlier_multiple is 1.0, expected a finite number above 1"),
        ({"outlier_multiple": float("nan")}, "outlier_multiple is nan"),
    ],
)
def test_settings_out_of_range_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        configuration(**setting)


def test_unknown_keys_are_refused():
    with pytest.raises(ValueError, match="the configuration has keys"):
        StoreConfiguration.from_json({**configuration().to_json(), "colour": "red"})
