import io
import json
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from example_circuits import example_circuit
from rich.console import Console
from tiny_models import random_sae

from circuits.cli import main
from circuits.comparison.circuit_difference import compare_circuits, rank_correlation
from circuits.comparison.feature_matching import match_features, match_rows
from circuits.drawing.difference_table import render_difference
from circuits.graph.circuit import Circuit, MetricValues, Node
from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site

SITE = Site("resid_post", 0)


def circuit_of(*nodes, tokens=("a", " b"), saes=()):
    """Nodes given as (feature, position, contribution)."""
    made = [Node(SITE, position, feature, tokens[position], 1.0, 0.0, -value) for feature, position, value in nodes]
    provenance = {"saes": list(saes)}
    return Circuit("a b", tokens, " x", " y", "exact", "zero", MetricValues(2.0, -1.0), made, provenance=provenance)


def saved(path, sae):
    sae.save(path)
    return {"site": str(SITE), "path": str(path), "sha256": SAE.load(path).content_hash}


def test_nodes_of_one_and_of_both():
    a = circuit_of((1, 0, 3.0), (2, 1, 1.0), (None, 1, 9.0))
    b = circuit_of((1, 0, 2.0), (2, 0, 4.0), (None, 1, 9.0))
    found = compare_circuits(a, b)
    assert [(node.a, node.contribution_a, node.contribution_b) for node in found.shared] == [
        ("resid_post.0/1@0", 3.0, 2.0)
    ]
    assert found.only_a == {"resid_post.0/2@1": 1.0}
    assert found.only_b == {"resid_post.0/2@0": 4.0}
    assert found.jaccard == pytest.approx(1 / 3)
    assert found.jaccard_interval[0] < 1 / 3 < found.jaccard_interval[1]
    assert (found.by, found.rank_correlation) == ("position", None)


def test_prompts_of_other_length_are_compared_feature_by_feature():
    a = circuit_of((1, 0, 3.0), (1, 1, 1.0))
    b = circuit_of((1, 2, 2.0), tokens=("a", " b", " c"))
    found = compare_circuits(a, b)
    assert found.by == "feature"
    assert [(node.a, node.contribution_a, node.contribution_b) for node in found.shared] == [
        ("resid_post.0/1", 4.0, 2.0)
    ]


def test_a_circuit_is_itself_and_not_its_opposite():
    circuit = example_circuit(n_nodes=40)
    same = compare_circuits(circuit, circuit)
    assert (same.jaccard, same.rank_correlation) == (1.0, pytest.approx(1.0))
    assert not same.only_a
    assert not same.only_b
    assert same.rank_correlation_null[0] < 0 < same.rank_correlation_null[1]
    flipped = replace(circuit, nodes=[replace(n, indirect_effect=-n.indirect_effect) for n in circuit.nodes])
    assert compare_circuits(circuit, flipped).rank_correlation == pytest.approx(-1.0)


def test_circuits_without_features_have_no_numbers():
    found = compare_circuits(circuit_of(), circuit_of())
    assert (found.jaccard, found.jaccard_interval, found.rank_correlation, found.rank_correlation_null) == (None,) * 4


@pytest.mark.parametrize(("x", "y"), [([], []), ([1.0, 2.0], [1.0, 2.0]), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])])
def test_a_rank_correlation_that_is_not_defined(x, y):
    assert rank_correlation(x, y) == (None, None)


def test_features_of_shuffled_dictionaries_find_their_partners(tmp_path):
    sae = random_sae(32, 64, SITE)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(3))
    other = SAE(
        encoder_rows=sae.W_enc.T[order], b_enc=sae.b_enc[order], decoder_rows=2 * sae.W_dec[order], b_dec=sae.b_dec,
        threshold=sae.threshold[order], site=SITE,
    )  # fmt: skip
    a = circuit_of(*((feature, 0, 1.0 + feature) for feature in range(8)), saes=[saved(tmp_path / "a", sae)])
    places = [(order == feature).nonzero().item() for feature in range(8)]
    b = circuit_of(*((place, 0, 5.0) for place in places), saes=[saved(tmp_path / "b", other)])
    found = compare_circuits(a, b)
    assert found.matched_sites == ("resid_post.0",)
    assert {(node.a, node.b) for node in found.shared} == {
        (f"resid_post.0/{i}@0", f"resid_post.0/{place}@0") for i, place in enumerate(places)
    }


def test_a_pair_below_the_threshold_is_no_pair():
    a, b = torch.eye(3)[:2], torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.6, 0.8]])
    assert match_rows(a, b, min_cosine=0.7) == [(0, 0)]
    assert match_rows(a, b, min_cosine=0.5) == [(0, 0), (1, 1)]
    assert match_rows(torch.zeros(1, 3), b, min_cosine=0.1) == []


def test_dictionaries_of_other_width_cannot_be_matched():
    with pytest.raises(ValueError, match="have d_model 32 and 16, expected equal ones"):
        match_features(random_sae(32, 64, SITE), [0], random_sae(16, 64, SITE), [0], min_cosine=0.7)


def test_a_dictionary_that_is_gone_or_another_is_named(tmp_path):
    entry = saved(tmp_path / "a", random_sae(32, 64, SITE))
    a = circuit_of((1, 0, 1.0), saes=[entry])
    gone = circuit_of((1, 0, 1.0), saes=[{**entry, "sha256": "0" * 64, "path": str(tmp_path / "gone")}])
    with pytest.raises(ValueError, match=r"the SAE at resid_post.0 is needed but was not found at .*gone"):
        compare_circuits(a, gone)
    altered = circuit_of((1, 0, 1.0), saes=[{**entry, "sha256": "0" * 64}])
    with pytest.raises(ValueError, match="is not the one that the circuit was discovered with"):
        compare_circuits(a, altered)


def test_the_table_has_its_numbers_and_their_nulls():
    console = Console(width=100, file=io.StringIO())
    console.print(render_difference(compare_circuits(example_circuit(), example_circuit(seed=1)), limit=3))
    text = console.file.getvalue()
    assert "Jaccard 0." in text
    assert "only in A: " in text
    assert "weaker not shown" in text


def test_the_command(tmp_path):
    example_circuit().save(tmp_path / "a")
    example_circuit(seed=1).save(tmp_path / "b")
    shown = CliRunner().invoke(main, ["diff", str(tmp_path / "a"), str(tmp_path / "b")])
    assert shown.exit_code == 0, shown.stderr
    found = json.loads(CliRunner().invoke(main, ["diff", str(tmp_path / "a"), str(tmp_path / "a"), "--json"]).stdout)
    assert (found["command"], found["jaccard"]) == ("circuits diff", 1.0)
