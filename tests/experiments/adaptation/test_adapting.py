"""Adapting a host: it learns the domain, continues where it was cut short, and says what it forgot."""

import json
from dataclasses import replace
from itertools import count

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from tiny_models import save_tiny_llama, tiny_llama_model
from transformers import AutoModelForCausalLM

from experiments.adaptation import adapting, training
from experiments.adaptation.adapting import adapt
from experiments.adaptation.settings import AdaptationSettings
from experiments.adaptation.training import learning_rate
from experiments.cli import main

SETTINGS = AdaptationSettings(n_tokens=2000, context_length=16, batch_size=4, learning_rate=3e-3)


@pytest.fixture
def model(tmp_path):
    return str(save_tiny_llama(tmp_path / "model"))


@pytest.fixture
def corpora(tmp_path):
    """A domain in which every other word says the next one, and another in which words come in turn."""
    domain, other = tmp_path / "domain.jsonl", tmp_path / "other.jsonl"
    with domain.open("w") as file:
        for number in range(400):
            words = [f"w{(number // 20 ** (place // 6) + place // 2 * 3) % 20 + place % 2 * 20}" for place in range(12)]
            file.write(json.dumps({"text": " ".join(words)}) + "\n")
    with other.open("w") as file:
        for number in range(200):
            file.write(json.dumps({"text": " ".join(f"w{(number + place) % 44}" for place in range(9))}) + "\n")
    return str(domain), str(other)


def weights(directory):
    return load_file(directory / "host" / "model.safetensors")


def test_held_out_perplexity_of_the_domain_falls(model, corpora, tmp_path):
    domain, other = corpora
    done = adapt(model, domain, tmp_path / "out", SETTINGS, others={"other": other}, device="cpu")
    row = done.report["perplexity"]["domain"]
    assert row["ratio"]["high"] < 0.6
    assert row["after"]["value"] / row["before"]["value"] == pytest.approx(row["ratio"]["value"])
    assert set(done.report["perplexity"]) == {"domain", "other"}
    assert done.report["history"][-1]["loss"] < done.report["history"][0]["loss"]
    assert json.loads((tmp_path / "out" / "adaptation.json").read_text()) == done.report
    AutoModelForCausalLM.from_pretrained(done.host)


def test_a_finished_run_is_not_run_again(model, corpora, tmp_path, monkeypatch):
    first = adapt(model, corpora[0], tmp_path / "out", SETTINGS, device="cpu")
    monkeypatch.setattr(adapting, "trainable_model", None)
    assert adapt(model, corpora[0], tmp_path / "out", SETTINGS, device="cpu").report == first.report


@pytest.mark.parametrize("lora_rank", [None, 2])
def test_a_run_that_was_cut_short_continues_to_the_same_bits(model, corpora, tmp_path, monkeypatch, lora_rank):
    settings = AdaptationSettings(n_tokens=1000, context_length=16, batch_size=4, accumulation=2, lora_rank=lora_rank)
    whole = adapt(model, corpora[0], tmp_path / "whole", settings, device="cpu")
    updates, update = count(), training._update

    def cut_short(*arguments):
        if next(updates) == 5:
            raise KeyboardInterrupt
        return update(*arguments)

    monkeypatch.setattr(training, "_update", cut_short)
    with pytest.raises(KeyboardInterrupt):
        adapt(model, corpora[0], tmp_path / "parts", settings, device="cpu", checkpoint_every=2)
    monkeypatch.undo()
    parts = adapt(model, corpora[0], tmp_path / "parts", settings, device="cpu", checkpoint_every=2)
    assert parts.report["history"] == whole.report["history"]
    for name, tensor in weights(tmp_path / "whole").items():
        assert tensor.equal(weights(tmp_path / "parts")[name]), name


def test_accumulated_passes_are_one_large_batch(model, corpora, tmp_path):
    one = AdaptationSettings(n_tokens=512, context_length=16, batch_size=8)
    two = AdaptationSettings(n_tokens=512, context_length=16, batch_size=4, accumulation=2)
    adapt(model, corpora[0], tmp_path / "one", one, device="cpu")
    adapt(model, corpora[0], tmp_path / "two", two, device="cpu")
    for name, tensor in weights(tmp_path / "one").items():
        torch.testing.assert_close(weights(tmp_path / "two")[name], tensor, atol=1e-5, rtol=1e-4)


def test_low_rank_updates_are_merged_and_move_linear_layers_only(model, corpora, tmp_path):
    settings = AdaptationSettings(n_tokens=512, context_length=16, batch_size=4, lora_rank=2, learning_rate=1e-2)
    adapt(model, corpora[0], tmp_path / "out", settings, device="cpu")
    before, after = tiny_llama_model().state_dict(), weights(tmp_path / "out")
    assert set(after) == set(before)
    moved = {name for name, tensor in after.items() if not tensor.equal(before[name])}
    assert moved
    assert all("proj" in name for name in moved)
    for name in moved:
        assert torch.linalg.matrix_rank(after[name] - before[name], rtol=1e-3) <= 2


def test_another_run_in_the_same_directory_is_refused(model, corpora, tmp_path):
    adapt(model, corpora[0], tmp_path / "out", SETTINGS, device="cpu")
    with pytest.raises(ValueError, match="holds another run"):
        adapt(model, corpora[1], tmp_path / "out", SETTINGS, device="cpu")


def test_a_corpus_without_held_out_documents_is_refused(model, tmp_path):
    path = tmp_path / "small.jsonl"
    path.write_text(json.dumps({"text": "w1 w2 w3 " * 40}) + "\n")
    with pytest.raises(ValueError, match="has no held-out document"):
        adapt(model, str(path), tmp_path / "out", SETTINGS, device="cpu")


def test_the_learning_rate_rises_then_falls_to_a_tenth():
    settings = AdaptationSettings(n_tokens=1, learning_rate=1.0, warmup_share=0.1)
    rates = [learning_rate(step, 100, settings) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert rates[10] == pytest.approx(1, abs=1e-3)
    assert rates[-1] == pytest.approx(0.1, abs=1e-2)
    assert rates[10:] == sorted(rates[10:], reverse=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_tokens": 0}, "n_tokens is 0, expected at least 1"),
        ({"n_tokens": 1, "context_length": 1}, "context_length is 1, expected at least 2"),
        ({"n_tokens": 1, "learning_rate": 0.0}, "learning_rate is 0.0, expected a number above 0"),
        ({"n_tokens": 1, "warmup_share": 1.0}, "warmup_share is 1.0, expected a share from 0 to below 1"),
        ({"n_tokens": 1, "lora_rank": 0}, "lora_rank is 0, expected at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        AdaptationSettings(**options)


def test_the_command_prints_perplexities(model, corpora, tmp_path):
    arguments = ["adapt", "--model", model, "--corpus", corpora[0], "--tokens", "300", "--context", "16"]
    ran = CliRunner().invoke(main, [*arguments, "--device", "cpu", "--out", str(tmp_path / "out"), "--json"])
    assert ran.exit_code == 0, ran.output
    result = json.loads(ran.stdout)
    assert result["command"] == "experiments adapt"
    assert result["perplexity"]["domain"]["before"]["n"] > 5
    again = CliRunner().invoke(main, [*arguments, "--device", "cpu", "--out", str(tmp_path / "out")])
    assert "domain: held-out perplexity" in again.stdout


def test_an_unknown_named_corpus_is_wrong_usage(model, tmp_path):
    arguments = ["adapt", "--model", model, "--corpus", "x", "--tokens", "3", "--out", str(tmp_path), "--held-out", "b"]
    ran = CliRunner().invoke(main, arguments)
    assert ran.exit_code == 2
    assert "'b' is not NAME=SPEC" in ran.output


def test_runs_of_one_process_may_differ_in_precision(model, corpora, tmp_path):
    for precision in ("bfloat16", "float32"):
        settings = replace(SETTINGS, precision=precision)
        done = adapt(model, corpora[0], tmp_path / precision, settings, device="cpu")
        assert done.report["settings"]["precision"] == precision
