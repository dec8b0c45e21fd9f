"""The two hosts of real text: pre-trained, then adapted, and continued where they were cut short."""

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from experiments.adaptation import adapting
from experiments.adaptation.settings import AdaptationSettings
from experiments.real_text.hosts import RealTextRecipe, train_real_text_hosts

SHORT = AdaptationSettings(n_tokens=3000, context_length=32, batch_size=4, learning_rate=3e-3)
RECIPE = RealTextRecipe(d_model=16, n_layers=1, n_heads=2, d_mlp=32, vocab_size=300, broad=SHORT, medical=SHORT)
SUBJECTS = {"broad": ("the ship", "the king", "a market"), "medical": ("the patient", "a fever", "the lung")}


@pytest.fixture
def data(tmp_path):
    for name, subjects in SUBJECTS.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        texts = [f"{subjects[n % 3]} was seen {n} times, and {subjects[n % 2]} once more" for n in range(300)]
        (tmp_path / "data" / name / "texts.txt").write_text("\n\n".join(texts))
    return tmp_path / "data"


def test_both_hosts_are_trained_and_measured_on_both_texts(data, tmp_path):
    hosts = train_real_text_hosts(data, tmp_path / "work", RECIPE, device="cpu")
    learned = hosts.broad.report["perplexity"]
    assert learned["domain"]["ratio"]["high"] < 0.8
    assert set(learned) == {"domain", "medical"}
    assert hosts.adapted.report["perplexity"]["domain"]["ratio"]["high"] < 1
    assert set(hosts.adapted.report["perplexity"]) == {"domain", "broad"}
    model = AutoModelForCausalLM.from_pretrained(hosts.adapted.host)
    tokenizer = AutoTokenizer.from_pretrained(hosts.adapted.host)
    assert model.config.vocab_size == len(tokenizer)
    assert tokenizer("a fever")["input_ids"][0] == tokenizer.bos_token_id


def test_finished_stages_are_not_run_again(data, tmp_path, monkeypatch):
    first = train_real_text_hosts(data, tmp_path / "work", RECIPE, device="cpu")
    monkeypatch.setattr(adapting, "trainable_model", None)
    again = train_real_text_hosts(data, tmp_path / "work", RECIPE, device="cpu")
    assert again.adapted.report == first.adapted.report


def test_data_without_one_of_the_texts_is_refused(data, tmp_path):
    (data / "medical").rename(data / "other")
    with pytest.raises(ValueError, match="has no directory 'medical', expected broad/ and medical/"):
        train_real_text_hosts(data, tmp_path / "work", RECIPE)
