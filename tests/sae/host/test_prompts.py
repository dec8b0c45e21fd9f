import pytest
import torch
from tiny_models import tiny_llama, tiny_llama_model, tiny_tokenizer
from tokenizers import processors
from tokenizers.normalizers import Prepend

from experiments.byte_level_tokenizer import byte_level_tokenizer
from sae.host.host import HostModel
from sae.host.prompts import continuation_ids, prompt_offsets


def test_the_ids_are_those_of_the_tokenizer(tiny_host):
    assert tiny_host.tokenise("w0 w5").tolist() == [1, 4, 9] == tiny_tokenizer()("w0 w5")["input_ids"]


def test_bos_is_put_in_front_where_the_tokenizer_does_not():
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    assert tokenizer("w0")["input_ids"] == [4]
    assert HostModel(tiny_llama_model(), tokenizer, name="tiny").tokenise("w0").tolist() == [1, 4]


def test_without_a_bos_token_none_is_put_in_front():
    host = tiny_llama()
    host.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    host.tokenizer.bos_token = None
    ids = host.tokenise("w0 w1")
    assert ids.tolist() == [4, 5]
    assert host.batch([ids]).node_mask.all()


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_a_blank_prompt_is_refused(tiny_host, text):
    with pytest.raises(ValueError, match="the prompt is blank"):
        tiny_host.tokenise(text)


def test_the_longest_prompt_fits_and_one_more_token_does_not(tiny_host):
    assert len(tiny_host.tokenise(" ".join(["w1"] * 63))) == 64
    with pytest.raises(ValueError, match="the prompt has 65 tokens, but model 'tiny' takes at most 64; shorten it"):
        tiny_host.tokenise(" ".join(["w1"] * 64))


def test_a_row_that_is_too_long_is_refused(tiny_host):
    with pytest.raises(ValueError, match="the longest row has 65 tokens, but model 'tiny' takes at most 64"):
        tiny_host.batch([torch.ones(65, dtype=torch.long)])


def test_a_tokenizer_with_too_many_tokens_is_found_out():
    host = tiny_llama(vocab_size=20)
    assert host.tokenise("w15").tolist() == [1, 19]
    with pytest.raises(ValueError, match="the tokenizer gives id 20, but model 'tiny' has 20 tokens"):
        host.tokenise("w16")


def test_a_chat_template_wraps_the_prompt_and_gives_one_bos():
    host = tiny_llama()
    host.tokenizer.chat_template = "{{ bos_token }} w40 {{ messages[0]['content'] }} w41"
    assert host.tokenise("w0", chat=True).tolist() == [1, 44, 4, 45]
    assert host.tokenise("w0").tolist() == [1, 4]


def test_chat_needs_a_template(tiny_host):
    with pytest.raises(ValueError, match="no chat template; leave --chat away"):
        tiny_host.tokenise("w0", chat=True)


def test_a_conversation_is_every_turn_in_the_template():
    host = tiny_llama()
    host.tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %} {{ 'w40' if m['role'] == 'user' else 'w41' }} {{ m['content'] }}"
        "{% endfor %}{% if add_generation_prompt %} w41{% endif %}"
    )
    turns = [("user", "w0"), ("assistant", "w1"), ("user", "w2")]
    ids = host.tokenise_conversation([{"role": role, "content": content} for role, content in turns])
    assert ids.tolist() == [1, 44, 4, 45, 5, 44, 6, 45]
    assert (
        host.tokenise_conversation([{"role": "user", "content": "w0"}]).tolist()
        == host.tokenise("w0", chat=True).tolist()
    )


def test_offsets_are_one_a_token_and_none_of_bos():
    tokenizer = tiny_tokenizer()
    expected = [(0, 0), (0, 2), (3, 6)]
    assert prompt_offsets(tokenizer, "w0 w12") == expected
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    assert prompt_offsets(tokenizer, "w0 w12") == expected
    assert prompt_offsets(tokenizer, "<bos> w0", is_templated=True) == [(0, 5), (6, 8)]


def test_a_continuation_is_spelt_with_the_fewest_tokens():
    tokenizer = byte_level_tokenizer(["a pear and a pear"], vocab_size=300, context_length=9)
    [pear] = tokenizer.convert_tokens_to_ids(["Ġpear"])
    assert continuation_ids(tokenizer, "pear") == continuation_ids(tokenizer, " pear") == [pear]
    bare = tokenizer("pear", add_special_tokens=False)["input_ids"]
    assert continuation_ids(tokenizer, "pear", prompt="a ") == bare != [pear]


def test_a_tokenizer_that_puts_the_space_itself_gets_none():
    tokenizer = byte_level_tokenizer(["a pear and a pear"], vocab_size=300, context_length=9)
    [pear] = tokenizer.convert_tokens_to_ids(["Ġpear"])
    tokenizer.backend_tokenizer.normalizer = Prepend(" ")
    assert len(tokenizer(" pear", add_special_tokens=False)["input_ids"]) == 2
    assert continuation_ids(tokenizer, "pear") == [pear]
