import pytest

from circuits.graph.node import Edge, Node, parse_node_id, single_precision
from sae.host.sites import Site


def a_node(**changes):
    values = {
        "site": Site("resid_post", 3), "position": 12, "feature": 117, "token": " fever", "activation": 2.0,
        "baseline_activation": 0.0, "indirect_effect": -0.5,
    }  # fmt: skip
    return Node(**{**values, **changes})


def test_a_feature_and_an_error_have_readable_ids():
    assert (a_node().id, a_node().kind) == ("resid_post.3/117@12", "feature")
    assert (a_node(feature=None).id, a_node(feature=None).kind) == ("resid_post.3/error@12", "error")


def test_contribution_is_the_negative_effect_and_never_a_negative_zero():
    assert a_node().contribution == 0.5
    assert str(a_node(indirect_effect=0.0).contribution) == "0.0"


@pytest.mark.parametrize("name", ["resid_post.3/117@12", "resid_post.3/error@12", "embed/0@0", "mlp_out.11/9@400"])
def test_an_id_can_be_parsed_back(name):
    site, position, feature = parse_node_id(name)
    assert a_node(site=site, position=position, feature=feature).id == name


@pytest.mark.parametrize("name", ["", "resid_post.3", "resid_post.3/117", "resid_post.3/-1@2", "embed/1@2 ", "a/b/c"])
def test_a_malformed_id_is_refused(name):
    with pytest.raises(ValueError, match=r"node id .* is malformed, expected SITE/FEATURE@POSITION"):
        parse_node_id(name)


def test_an_id_at_no_site_is_refused():
    with pytest.raises(ValueError, match="resid_pre"):
        parse_node_id("resid_pre.3/1@2")


@pytest.mark.parametrize("name", ["activation", "baseline_activation", "indirect_effect"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e39])
def test_numbers_must_be_finite_in_single_precision(name, value):
    with pytest.raises(ValueError, match=rf"{name} of node resid_post.3/117@12 must be a finite number"):
        a_node(**{name: value})


def test_an_edge_must_be_finite():
    with pytest.raises(ValueError, match="effect of edge a -> b must be a finite number, got nan"):
        Edge("a", "b", float("nan"))


@pytest.mark.parametrize("f1", [-0.1, 1.1, float("nan")])
def test_the_f1_of_a_label_lies_between_0_and_1(f1):
    with pytest.raises(ValueError, match=r"label_f1 of node .* must lie in \[0, 1\]"):
        a_node(label="fever", label_f1=f1)


def test_positions_count_from_0():
    with pytest.raises(ValueError, match="position and a feature of at least 0"):
        a_node(position=-1)


def test_files_hold_the_shortest_decimal_of_a_float32():
    assert single_precision(0.10000000149011612) == 0.1
    assert single_precision(1.0) == 1.0
