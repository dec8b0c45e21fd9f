"""Nulls: where there is nothing to find, nothing is found; and a planted circuit stands out."""

import json
from pathlib import Path

import pytest
import torch
from tiny_models import random_sae, save_tiny_llama

from circuits.discovery import discover
from circuits.evaluation.evaluating import evaluate
from circuits.graph.circuit import Circuit
from circuits.nulls.case import NullResult
from circuits.nulls.catalogue import NULLS, chosen_nulls
from circuits.nulls.dictionaries import random_like, shuffled_like, zero_like
from circuits.nulls.nodes import matched_draw
from sae.host.sites import Site


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    model = save_tiny_llama(folder / "model")
    for layer in range(3):
        site = Site("resid_post", layer)
        random_sae(32, 64, site, seed=layer).save(folder / "saes" / str(site))
    options = {"model": str(model), "saes": str(folder / "saes"), "top_k": 12}
    discover("w1 w2 w3 w4 w5", contrast="w1 w2 w7 w4 w5", foil="w9", **options).save(folder / "circuit")
    return Circuit.load(folder / "circuit")


@pytest.fixture(scope="module")
def record(found):
    return evaluate(found, draws=2, sizes=(1, 12)).to_json()


def pair(at: int) -> dict[str, str]:
    """Two prompts that differ in their third word."""
    answers = {"clean_answer": "w8", "patch_answer": "w9"}
    return {"clean_prefix": f"w1 w{at} w3 w4", "patch_prefix": f"w1 w{at} w7 w4", **answers, "template": f"t{at % 2}"}


def test_several_prompts_are_resampled_by_template(found, tmp_path):
    (tmp_path / "pairs.jsonl").write_text("\n".join(json.dumps(pair(at)) for at in range(10, 14)), encoding="utf-8")
    model, saes = found.provenance["model"]["path"], str(Path(found.provenance["saes"][0]["path"]).parent)
    options = {"model": model, "saes": saes, "top_k": 6, "keep_wrong": True}
    circuit = discover(pairs=tmp_path / "pairs.jsonl", **options)
    measured = evaluate(circuit, draws=1, sizes=(3,)).to_json()
    assert measured["spread"] == {"kind": "interval", "over": "templates", "n": 2, "n_left_out": 0}
    estimates = [measured["faithfulness"], measured["areas"]["kept"]["cpr"], measured["areas"]["as_nodes"]["cmd"]]
    for estimate in estimates:
        assert (estimate["value"] is None) == (estimate["reason"] is not None)
        assert (estimate["low"] is None) == (estimate["value"] is None)


def test_every_null_says_what_it_is(record):
    assert list(record["nulls"]) == list(NULLS)
    for null in record["nulls"].values():
        assert null["meaning"]
        assert null["rescores"]
        assert (null["faithfulness"]["mean"] is None) == (null["n_draws"] == 0)
        assert null["n_draws"] or null["reason"]


def test_a_dictionary_that_writes_nothing_keeps_nothing(record):
    assert record["nulls"]["zero_dictionary"]["faithfulness"]["mean"] == pytest.approx(0.0, abs=1e-5)


def test_the_evaluation_agrees_with_the_discovery(found, record):
    assert record["faithfulness"]["value"] == pytest.approx(found.faithfulness.value, abs=1e-5)
    assert record["n_nodes"] == 12
    assert record["edges"]["grid"][-1]["absolute"]["value"] == pytest.approx(found.faithfulness.value, abs=1e-4)


def test_evaluation_is_repeatable(found, record):
    again = evaluate(found, draws=2, sizes=(1, 12)).to_json()
    assert {**again, "seconds": None} == {**record, "seconds": None}


def test_a_planted_circuit_stands_above_all_draws():
    assert NullResult((0.1, 0.2, 0.3)).to_json(0.9)["percentile"] == 100
    assert NullResult((0.1, 0.9, 0.95, 0.2)).to_json(0.9)["percentile"] == 62.5
    assert NullResult((0.5,)).to_json(None)["percentile"] is None
    assert NullResult(reason="none").to_json(0.5)["faithfulness"]["mean"] is None


def test_matched_draws_are_alike_distinct_and_none_of_the_own():
    strata = torch.tensor([[0, 0], [0, 0], [9, 9], [9, 9], [0, 1], [5, 5]])
    chosen = matched_draw(strata, torch.tensor([0, 2]), torch.Generator().manual_seed(0))
    assert chosen.tolist() == [1, 3]
    both = matched_draw(strata, torch.tensor([0, 1]), torch.Generator().manual_seed(0))
    assert len(set(both.tolist()) | {0, 1}) == 4


def test_random_dictionaries_have_the_same_l0():
    sae, x = random_sae(), torch.randn(40, 32, generator=torch.Generator().manual_seed(1))
    null = random_like(sae, x, torch.Generator().manual_seed(0))
    assert (null.encode(x) != 0).sum().item() == pytest.approx((sae.encode(x) != 0).sum().item(), rel=0.01)
    centred = x - sae.b_dec
    assert (centred - null.decode(null.encode(x)) + sae.b_dec).norm() < centred.norm()


def test_shuffled_and_zero_dictionaries_fire_where_the_dictionary_does():
    sae, x = random_sae(), torch.randn(4, 32)
    for like in (shuffled_like, zero_like):
        torch.testing.assert_close(like(sae, x, torch.Generator().manual_seed(0)).encode(x), sae.encode(x))
    shuffled = shuffled_like(sae, x, torch.Generator().manual_seed(0))
    assert not torch.equal(shuffled.decoder_rows, sae.decoder_rows)
    torch.testing.assert_close(shuffled.decoder_rows.sum(0), sae.decoder_rows.sum(0))


def test_names():
    assert chosen_nulls("all") == list(NULLS)
    assert chosen_nulls("none") == []
    assert chosen_nulls("random_foil, random_features") == ["random_features", "random_foil"]
    with pytest.raises(ValueError, match="null 'luck' is unknown, expected all, none or of random_features"):
        chosen_nulls("luck")


def test_wrong_sizes_are_refused(found):
    with pytest.raises(ValueError, match="sizes has 0, expected whole numbers of at least 1"):
        evaluate(found, sizes=(0, 3))


def test_a_circuit_without_features_is_refused(found):
    with pytest.raises(ValueError, match="the circuit has no features"):
        evaluate(found.subset(0))
