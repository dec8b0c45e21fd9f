"""The tokenizer puts BOS in front, keeps names whole, and comes back from disk unchanged."""

import pytest
from transformers import AutoTokenizer

from experiments.clinic.broad_text import broad_documents
from experiments.clinic.tokenizer import BOS_ID, CONTEXT_LENGTH, EOS_ID, PAD_ID, train_tokenizer

NAMES = ("piano", "omelette", "goalkeeper")
TEXTS = [document.text for document in broad_documents(400, seed=0)]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, NAMES)


@pytest.fixture(scope="module")
def reloaded(tokenizer, tmp_path_factory):
    directory = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(directory)
    return AutoTokenizer.from_pretrained(directory)


def test_special_tokens_come_first(tokenizer):
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (
        PAD_ID,
        BOS_ID,
        EOS_ID,
    )
    assert (PAD_ID, BOS_ID, EOS_ID) == (0, 1, 2)


def test_bos_is_put_in_front_and_nothing_behind(reloaded):
    ids = reloaded("The piano began softly.").input_ids
    assert ids[0] == BOS_ID
    assert ids.count(BOS_ID) == 1
    assert ids[-1] == reloaded.convert_tokens_to_ids(".")


def test_text_survives_the_round_trip(tokenizer):
    for text in [*TEXTS[:50], "Zürich: 39.5 °C, x != y", " two  spaces "]:
        assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


def test_names_are_single_tokens(tokenizer):
    for name in NAMES:
        assert len(tokenizer(f"A {name}.").input_ids) == 4


def test_a_prompt_is_a_prefix_of_prompt_and_answer(tokenizer):
    prompt = tokenizer("Which instrument is mentioned? Answer:").input_ids
    whole = tokenizer("Which instrument is mentioned? Answer: piano.").input_ids
    assert whole[: len(prompt)] == prompt
    assert tokenizer.decode(whole[len(prompt)]) == " piano"


def test_disk_changes_nothing(tokenizer, reloaded):
    assert reloaded(TEXTS[:20]).input_ids == tokenizer(TEXTS[:20]).input_ids
    assert reloaded.get_vocab() == tokenizer.get_vocab()
    assert (reloaded.padding_side, reloaded.model_max_length) == ("left", CONTEXT_LENGTH)
    assert reloaded.chat_template == tokenizer.chat_template


def test_a_question_becomes_a_chat_prompt(reloaded):
    messages = [{"role": "user", "content": "Which pet is it?"}]
    assert reloaded.apply_chat_template(messages, tokenize=False) == "<bos>Question: Which pet is it? Answer:"
    ids = reloaded.apply_chat_template(messages, return_dict=True)["input_ids"]
    assert ids == reloaded("Question: Which pet is it? Answer:").input_ids


def test_a_dialogue_keeps_its_answers(reloaded):
    messages = [
        {"role": "user", "content": "Which pet?"},
        {"role": "assistant", "content": "dog."},
        {"role": "user", "content": "Its name?"},
    ]
    expected = "<bos>Question: Which pet? Answer: dog. Question: Its name? Answer:"
    assert reloaded.apply_chat_template(messages, tokenize=False) == expected


def test_names_that_fall_apart_are_an_error():
    with pytest.raises(ValueError, match=r"several for piano, gout; train on more text or raise vocab_size"):
        train_tokenizer(["a cat and a hat"], ["cat", "piano", "gout"])
