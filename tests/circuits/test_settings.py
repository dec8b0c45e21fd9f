import math

import pytest

from circuits.settings import DEFAULT_FAITHFULNESS, DiscoverySettings


def test_faithfulness_is_the_default_criterion():
    assert DiscoverySettings().wanted_faithfulness == DEFAULT_FAITHFULNESS
    assert DiscoverySettings(top_k=5).wanted_faithfulness is None
    assert DiscoverySettings(node_threshold=0.0).wanted_faithfulness is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "method 'magic' is unknown"),
        ({"basis": "magic"}, "basis 'magic' is unknown"),
        ({"baseline": "magic"}, "baseline 'magic' is unknown"),
        ({"faithfulness": 1.01}, "faithfulness is 1.01"),
        ({"faithfulness": math.nan}, "faithfulness is nan"),
        ({"node_threshold": -1.0}, "node_threshold is -1.0"),
        ({"edge_threshold": math.inf}, "edge_threshold is inf"),
        ({"top_k": 0}, "top_k is 0"),
        ({"ig_steps": 0}, "ig_steps is 0"),
        ({"ig_rule": "right"}, "ig_rule 'right' is unknown"),
        ({"ig_tolerance": 0.0}, "ig_tolerance is 0.0, expected a share above 0"),
        ({"method": "mask", "node_threshold": 0.1}, "node_threshold chooses by effect but method 'mask'"),
        ({"method": "mask", "cumulative": 0.5}, "cumulative chooses by effect but method 'mask'"),
        ({"seed": -1}, "seed is -1"),
        ({"top_k": 3, "node_threshold": 0.1}, "top_k and node_threshold were both given"),
    ],
)
def test_contradictions_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        DiscoverySettings(**options)
