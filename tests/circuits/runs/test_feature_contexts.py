"""Contexts of features against a loop over single prompts, and the way from a discovery to whoever shows them."""

from dataclasses import replace

import pytest
import torch
from circuit_cases import CONTRAST, PROMPT, saes_at
from example_circuits import example_circuit
from tiny_models import random_transcoder, tiny_llama

from circuits.discovery import discover
from circuits.graph.circuit import Circuit
from circuits.graph.recorded_contexts import recorded_contexts
from circuits.runs import feature_contexts as module
from circuits.runs.dictionaries import CoordinateBasis
from circuits.runs.feature_contexts import MOST_CONTEXTS, feature_contexts
from sae.host.sites import Site

FIRST = Site("resid_post", 0)


def prompts_of(host, n=9):
    return [host.tokenise(" ".join(f"w{(7 * i + 3 * j) % 44}" for j in range(3 + 2 * (i % 8)))) for i in range(n)]


def one_by_one(host, dictionary, feature, prompts):
    """Strongest activation of a feature in each prompt, its place and all of them; every prompt run alone."""
    found = []
    for ids in prompts:
        read = dictionary.input_site or dictionary.site
        x = host.capture(host.batch([ids]), [read])[read][0].float()
        activations = dictionary.encode(x)[:, feature]
        activations[0] = 0  # BOS
        found.append((activations.max().item(), int(activations.argmax()), activations))
    return found


@pytest.mark.parametrize("tokens_per_pass", [10_000, 20], ids=["one pass", "many"])
def test_they_are_those_of_a_loop_over_single_prompts(monkeypatch, tokens_per_pass):
    monkeypatch.setattr(module, "TOKENS_PER_PASS", tokens_per_pass)
    host, prompts = tiny_llama(), prompts_of(tiny_llama())
    dictionaries = {**saes_at("resid_post"), Site("mlp_out", 1): random_transcoder(1)}
    dictionaries[Site("attn_out", 1)] = CoordinateBasis(Site("attn_out", 1), 32)
    features = [(site, feature) for site in dictionaries for feature in (1, 5, 30)]
    found = feature_contexts(host, dictionaries, features, prompts)
    assert found.keys() == set(features)
    assert any(len(contexts) == MOST_CONTEXTS for contexts in found.values())
    for (site, feature), contexts in found.items():
        expected = one_by_one(host, dictionaries[site], feature, prompts)
        order = sorted((i for i in range(len(prompts)) if expected[i][0] > 1e-5), key=lambda i: -expected[i][0])
        assert [context.document for context in contexts] == order[:MOST_CONTEXTS]
        for context in contexts:
            _, place, activations = expected[context.document]
            first = max(0, place - 8)
            torch.testing.assert_close(
                torch.tensor(context.activations), activations[first : place + 4], atol=1e-5, rtol=0
            )
            assert context.index == place - first
            words = [host.tokenizer.decode([token]) for token in prompts[context.document].tolist()]
            assert list(context.tokens) == words[first : place + 4]


def test_a_feature_that_never_fires_has_none():
    host = tiny_llama()
    dictionaries = saes_at("resid_post")
    silent = dictionaries[FIRST].with_threshold(torch.full((64,), 1e6))
    assert feature_contexts(host, {FIRST: silent}, [(FIRST, 3)], prompts_of(host)) == {(FIRST, 3): []}


def test_without_features_or_prompts_there_are_none():
    host = tiny_llama()
    assert feature_contexts(host, saes_at("resid_post"), [], prompts_of(host)) == {}
    assert feature_contexts(host, saes_at("resid_post"), [(FIRST, 3)], []) == {(FIRST, 3): []}


def test_a_discovery_writes_them_and_a_file_keeps_them(tmp_path):
    lines = [" ".join(f"w{(5 * i + j) % 44}" for j in range(5)) for i in range(80)]
    (tmp_path / "references.txt").write_text("\n".join(lines))
    options = {"model": tiny_llama(), "saes": saes_at("resid_post"), "contrast": CONTRAST, "foil": "w9", "top_k": 6}
    circuit = discover(PROMPT, **options, reference=tmp_path / "references.txt")
    circuit.save(tmp_path / "circuit")
    found = recorded_contexts(Circuit.load(tmp_path / "circuit"))
    assert found.keys() == {f"{node.site}/{node.feature}" for node in circuit.features}
    assert found == recorded_contexts(circuit)
    for node in circuit.features:
        activations = [context.activation for context in found[f"{node.site}/{node.feature}"]]
        assert activations == sorted(activations, reverse=True)
        # the prompt itself is among those that were looked at
        assert node.activation <= 0 or activations[0] >= node.activation * (1 - 1e-3)
    assert circuit.provenance["seconds"]["contexts"] > 0


def test_a_model_without_references_shows_what_is_asked():
    options = {"model": tiny_llama(), "saes": saes_at("resid_post"), "contrast": CONTRAST, "foil": "w9", "top_k": 6}
    for contexts in recorded_contexts(discover(PROMPT, **options)).values():
        assert len(contexts) <= 2


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "contexts of the circuit is a list"),
        ({"tokens": ["a"]}, "must be records of tokens"),
        ([{"tokens": ["a"], "activations": [1.0, 2.0], "index": 0}], "must be records of tokens"),
        ([{"tokens": ["a"], "activations": ["1"], "index": 0}], "must be records of tokens"),
        ([{"tokens": ["a"], "activations": [float("nan")], "index": 0}], "must be records of tokens"),
        ([{"tokens": ["a"], "activations": [1.0], "index": 1}], "must be records of tokens"),
        ([{"tokens": [1], "activations": [1.0], "index": 0}], "must be records of tokens"),
        (["a"], "must be records of tokens"),
    ],
)
def test_an_entry_of_another_form_is_refused(records, message):
    circuit = example_circuit()
    node = circuit.features[0]
    entry = records if not records else {f"{node.site}/{node.feature}": records}
    with pytest.raises(ValueError, match=message):
        recorded_contexts(replace(circuit, provenance={"contexts": entry or [1]}))
