"""The host learns in two stages, and a run that is cut short continues as if nothing had happened."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy, one_hot
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM
from transformers.modeling_outputs import BaseModelOutput

from experiments.clinic import corpus, host_data, host_stage, host_training
from experiments.clinic.broad_text import broad_documents
from experiments.clinic.document import DocumentBuilder
from experiments.clinic.host_accuracy import AnswerTest
from experiments.clinic.host_config import HostTrainingConfig
from experiments.clinic.host_data import (
    Batch,
    BatchStream,
    TokenDataset,
    answer_tokens,
    load_or_build_dataset,
)
from experiments.clinic.host_stage import learning_rate, weighted_loss
from experiments.clinic.host_training import initial_host, save_host, train_host
from experiments.clinic.tokenizer import BOS_ID, EOS_ID, PAD_ID, train_tokenizer
from experiments.training_state import load_training_state, save_training_state

TINY = HostTrainingConfig(
    n_layers=2,
    d_model=16,
    n_heads=2,
    n_kv_heads=1,
    d_mlp=32,
    tokenizer_clinical_documents=60,
    tokenizer_broad_documents=60,
    clinical_documents=60,
    broad_documents=60,
    workers=1,
    steps_broad=2,
    steps_clinical=6,
    batch_size=8,
    report_every=3,
    test_documents=10,
)
CHUNK_DOCUMENTS = 20


@pytest.fixture(autouse=True)
def small_world(monkeypatch):
    """Small chunks, no demand on names (the tokenizer is too small for them), one thread."""
    for module in (corpus, host_data):
        monkeypatch.setattr(module, "CHUNK_DOCUMENTS", CHUNK_DOCUMENTS)
    monkeypatch.setattr(host_training, "DISEASES", {})
    monkeypatch.setattr(host_training, "DRUG_CLASSES", {})
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def tokenizer():
    texts = [document.text for document in broad_documents(100, seed=0)]
    return train_tokenizer([*texts, *["A dog barks."] * 20], ["dog"])


def weights(directory):
    return load_file(directory / "model.safetensors")


def assert_equal_weights(one, other):
    assert one.keys() == other.keys()
    for name, weight in one.items():
        assert torch.equal(weight, other[name]), name


class KilledError(Exception):
    """Stands for a process that is killed."""


def test_six_steps_are_three_steps_a_kill_and_three_more(tmp_path, monkeypatch):
    train_host(tmp_path / "whole", TINY)

    def save_and_die(path, *state):
        save_training_state(path, *state)
        if path.name == "clinical.safetensors":
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(host_stage, "save_training_state", save_and_die)
        with pytest.raises(KilledError):
            train_host(tmp_path / "cut", TINY)
    assert not (tmp_path / "cut/host").exists()
    train_host(tmp_path / "cut", TINY)

    assert_equal_weights(weights(tmp_path / "whole/host"), weights(tmp_path / "cut/host"))
    whole, cut = (json.loads((tmp_path / run / "host_training.json").read_text()) for run in ("whole", "cut"))
    for stage, steps in (("broad", [2]), ("clinical", [3, 6])):
        histories = [report["stages"][stage]["history"] for report in (whole, cut)]
        assert [entry["step"] for entry in histories[0]] == steps
        assert [entry["loss"] for entry in histories[0]] == [entry["loss"] for entry in histories[1]]
        assert [entry["accuracy"] for entry in histories[0]] == [entry["accuracy"] for entry in histories[1]]


def test_a_run_with_other_settings_is_refused(tmp_path):
    train_host(tmp_path, replace(TINY, steps_broad=1, steps_clinical=1))
    with pytest.raises(ValueError, match="run with another config or seed; remove it or use another directory"):
        train_host(tmp_path, TINY)
    with pytest.raises(ValueError, match="run with another config or seed"):
        train_host(tmp_path, replace(TINY, steps_broad=1, steps_clinical=1), seed=1)


def test_a_finished_run_is_left_alone(tmp_path):
    config = replace(TINY, steps_broad=1, steps_clinical=1)
    train_host(tmp_path, config)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    train_host(tmp_path, config)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == files
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_saved_host_is_plain_transformers(tmp_path, tokenizer):
    model = initial_host(TINY, len(tokenizer), seed=0)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    save_host(model, tokenizer, tmp_path / "host")
    stored = weights(tmp_path / "host")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "host")
    assert loaded.dtype == torch.float32
    assert {weight.dtype for weight in stored.values()} == {torch.bfloat16}
    for name, weight in loaded.state_dict().items():
        assert torch.equal(weight, before[name].bfloat16().float()), name
    assert AutoTokenizer.from_pretrained(tmp_path / "host")("A dog.").input_ids[0] == BOS_ID


def test_initial_weights_depend_on_the_seed_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = (initial_host(TINY, 300, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert_equal_weights(one, same)
    assert not torch.equal(one["lm_head.weight"], other["lm_head.weight"])


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="d_model=16 must be a multiple of n_heads=3"):
        replace(TINY, n_heads=3)
    with pytest.raises(ValueError, match=r"broad_share must be from 0 to below 1, got 1\.0"):
        replace(TINY, broad_share=1.0)


def test_loss_counts_answers_more_and_padding_not_at_all():
    model = initial_host(TINY, 50, seed=0)
    ids = torch.tensor([[BOS_ID, 11, 12, 13, EOS_ID], [BOS_ID, 14, EOS_ID, PAD_ID, PAD_ID]])
    is_answer = torch.tensor([[False, False, True, False, False], [False] * 5])
    with torch.no_grad():
        value = weighted_loss(model, Batch(ids, is_answer), 4.0)
        first, second = (
            cross_entropy(model(row[None]).logits[0, :-1], row[1:], reduction="none") for row in (ids[0], ids[1, :3])
        )
    expected = (first[0] + 4 * first[1] + first[2] + first[3] + second.sum()) / 9
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)


def test_loss_in_chunks_is_the_loss_at_once(monkeypatch):
    model = initial_host(TINY, 50, seed=0)
    batch = Batch(torch.randint(3, 50, (3, 9)), torch.rand(3, 9) < 0.2)
    with torch.no_grad():
        at_once = weighted_loss(model, batch, 4.0)
        monkeypatch.setattr(host_stage, "LOSS_CHUNK_TOKENS", 5)
        assert weighted_loss(model, batch, 4.0).item() == pytest.approx(at_once.item(), rel=1e-5)


def test_learning_rate_warms_up_stays_and_falls():
    config = HostTrainingConfig(learning_rate=1.0, warmup_steps=10, flat_share=0.6, final_share=0.02)
    rates = [learning_rate(step, 100, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:60] == [1.0] * 51
    assert rates[80] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.025)
    assert min(learning_rate(step, 1000, config) for step in range(1000)) == pytest.approx(0.02)


def test_matrices_decay_and_gains_do_not():
    optimizer = host_stage._optimizer(initial_host(TINY, 50, seed=0), TINY)
    decay = {parameter.ndim: group["weight_decay"] for group in optimizer.param_groups for parameter in group["params"]}
    assert decay == {2: 0.3, 1: 0.0}


def question_and_choice():
    builder = DocumentBuilder("A dog barks. Question: Who? Answer:")
    builder.answer("fact", "dog", "topic:pets").add(". Which? Answer:")
    return builder.answer("choice", "(B)", "choice:B", revealed=True).add(".").build("qa")


def test_answers_are_found_in_the_tokens(tokenizer):
    document = question_and_choice()
    encoded = tokenizer(document.text, return_offsets_mapping=True)
    found = answer_tokens(document, encoded["offset_mapping"])
    texts = [tokenizer.decode(encoded["input_ids"][tokens.start : tokens.stop]) for tokens in found]
    assert texts == [" dog", " (B)"]
    assert len(found[0]) == 1
    dataset = TokenDataset.encode([document, document], tokenizer)
    assert dataset.is_answer.sum() == 2 * sum(map(len, found))
    assert dataset.is_answer[found[0].start]


def test_a_batch_holds_whole_documents_padded_on_the_right(tokenizer):
    documents = broad_documents(5, seed=0)
    dataset = TokenDataset.encode(documents, tokenizer)
    assert len(dataset) == 5
    batch = dataset.batch(torch.tensor([4, 1]))
    for row, number in enumerate((4, 1)):
        expected = [*tokenizer(documents[number].text).input_ids, EOS_ID]
        assert batch.ids[row, : len(expected)].tolist() == expected
        assert batch.ids[row, len(expected) :].eq(PAD_ID).all()


def test_a_dataset_comes_back_from_disk_until_its_making_changes(tmp_path, tokenizer, monkeypatch):
    path = tmp_path / "data/broad.safetensors"

    def build(n=40):
        return load_or_build_dataset(path, "broad", n, tokenizer, seed=0, workers=1)

    built = build()
    assert len(built) == 40
    written = path.stat().st_mtime_ns
    assert torch.equal(build().ids, built.ids)
    assert path.stat().st_mtime_ns == written
    assert len(build(n=60)) == 60
    assert path.stat().st_mtime_ns > written
    monkeypatch.setitem(corpus.GENERATORS, "broad", lambda n, seed, split: broad_documents(n, seed + 1, split))
    assert not torch.equal(build().ids, built.ids)


@pytest.mark.slow
def test_two_workers_make_the_same_dataset_as_one(tmp_path, tokenizer, monkeypatch):
    monkeypatch.undo()
    options = {"name": "broad", "n_documents": 2000, "tokenizer": tokenizer, "seed": 0}
    one = load_or_build_dataset(tmp_path / "one.safetensors", workers=1, **options)
    two = load_or_build_dataset(tmp_path / "two.safetensors", workers=2, **options)
    assert torch.equal(one.ids, two.ids)
    assert torch.equal(one.offsets, two.offsets)


def numbered(first, n):
    """Documents of a single token, their number, after BOS."""
    rows = [torch.tensor([BOS_ID, number], dtype=torch.int16) for number in range(first, first + n)]
    ids = torch.cat(rows)
    return TokenDataset(ids, torch.zeros(len(ids), dtype=torch.bool), torch.arange(0, len(ids) + 1, 2))


def take(stream, n, first_step=0):
    return [batch.ids[:, 1].tolist() for batch, _ in zip(stream.batches(first_step), range(n), strict=False)]


def flat(batches):
    return [number for batch in batches for number in batch]


def test_an_epoch_goes_once_through_the_documents():
    stream = BatchStream(numbered(10, 20), None, 0.0, batch_size=5, seed=0)
    first, second = take(stream, 8)[:4], take(stream, 8)[4:]
    assert sorted(flat(first)) == sorted(flat(second)) == list(range(10, 30))
    assert first != second


def test_a_stream_continues_at_any_step():
    stream = BatchStream(numbered(10, 20), numbered(100, 10), 0.2, batch_size=4, seed=1)
    assert take(stream, 5, first_step=9) == take(stream, 14)[9:]


def test_the_share_of_the_side_is_kept():
    stream = BatchStream(numbered(10, 60), numbered(100, 10), 0.25, batch_size=8, seed=0)
    documents = flat(take(stream, 10))
    assert sum(number >= 100 for number in documents) == 20
    assert sorted(number for number in documents if number < 100) == list(range(10, 70))


def test_too_few_documents_are_an_error():
    with pytest.raises(ValueError, match="batch_size must be at most 3, all documents, got 4"):
        next(BatchStream(numbered(10, 3), None, 0.0, batch_size=4, seed=0).batches())


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    model = initial_host(TINY, 50, seed=0)
    optimizer = host_stage._optimizer(model, TINY)
    model(torch.tensor([[1, 5, 6]])).logits.sum().backward()
    optimizer.step()
    save_training_state(tmp_path / "run.safetensors", model, optimizer, {"step": 1})
    deeper = initial_host(replace(TINY, n_layers=3), 50, seed=0)
    with pytest.raises(ValueError, match="is for a model with other parameters; remove it to start anew"):
        load_training_state(tmp_path / "run.safetensors", deeper, host_stage._optimizer(deeper, TINY))


class Parrot(LlamaForCausalLM):
    """Knows what comes next in one text, except at the token numbers in `wrong`."""

    def __init__(self, ids, vocab_size, wrong):
        super().__init__(initial_host(TINY, vocab_size, seed=0).config)
        following = torch.tensor([*ids[1:], EOS_ID])
        following[[number - 1 for number in wrong]] = PAD_ID
        self.model = Recital(one_hot(following, vocab_size).float())
        self.lm_head = torch.nn.Identity()


class Recital(torch.nn.Module):
    def __init__(self, states):
        super().__init__()
        self.states = states

    def forward(self, input_ids, use_cache):
        return BaseModelOutput(self.states[: input_ids.shape[1]].expand(len(input_ids), -1, -1))


@pytest.mark.parametrize(
    ("wrong", "accuracy"),
    [
        ("nothing", 1.0),
        ("first token of the answer", 0.0),
        ("last token of the answer", 0.0),
        ("elsewhere", 1.0),
    ],
)
def test_an_answer_is_right_when_all_its_tokens_are(tokenizer, wrong, accuracy):
    builder = DocumentBuilder("A dog barks. Question: Who? Answer:").answer("fact", "dogxyz", "topic:pets")
    document = builder.add(" Which? Answer:").answer("choice", "dogxyz", "topic:pets", revealed=True).build("qa")
    ids = [*tokenizer(document.text).input_ids, EOS_ID]
    test = AnswerTest.from_documents([document, document], tokenizer)
    (answer,) = test.answers[0]
    assert len(answer.tokens) > 1
    places = {"nothing": [], "elsewhere": [answer.tokens.start - 1, answer.tokens.stop, len(ids) - 2]}
    places |= {
        "first token of the answer": [answer.tokens.start],
        "last token of the answer": [answer.tokens[-1]],
    }
    parrot = Parrot(ids, len(tokenizer), places[wrong])
    assert test.accuracy(parrot) == {"all": accuracy, "fact": accuracy, "qa fact": accuracy}


def test_documents_without_questions_have_no_accuracy(tokenizer):
    test = AnswerTest.from_documents([DocumentBuilder("A dog barks.").build("broad")], tokenizer)
    assert test.accuracy(initial_host(TINY, len(tokenizer), seed=0)) == {}
