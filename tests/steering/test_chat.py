"""A conversation whose edits change."""

import pytest
from tiny_models import random_sae, tiny_llama

from sae.host.sites import Site
from steering.chat import ChatSession
from steering.dictionaries import Dictionaries
from steering.interventions import SteeringSpec
from steering.parsing import parse_edit
from steering.positions import read_prompt
from steering.steered_host import SteeredHost

SITE = Site("resid_post", 1)
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %} {{ 'w40' if m['role'] == 'user' else 'w41' }} {{ m['content'] }}"
    "{% endfor %}{% if add_generation_prompt %} w41{% endif %}"
)


def session(*, template: str | None = None) -> ChatSession:
    host = tiny_llama()
    host.tokenizer.chat_template = template
    steered = SteeredHost(host, Dictionaries(host, saes={SITE: random_sae(site=SITE)}))
    return ChatSession(steered, sampling={"max_new_tokens": 5})


def test_an_edit_holds_from_the_next_answer_until_it_is_cleared():
    talk = session()
    plain = talk.reply("w1 w2")
    talk.set("resid_post.1/3 -9")
    moved = talk.reply("w1 w2")
    [row] = talk.steered.generate(
        [read_prompt(talk.steered.host, "w1 w2")],
        [SteeringSpec((parse_edit("resid_post.1/3:add=-9"),))],
        max_new_tokens=5,
    )
    assert moved.new_ids.tolist() == row.new_ids.tolist() != plain.new_ids.tolist()
    talk.clear()
    assert talk.reply("w1 w2").new_ids.tolist() == plain.new_ids.tolist()


def test_setting_a_feature_again_replaces_its_edit():
    talk = session()
    talk.set("resid_post.1/3 2")
    talk.set("resid_post.1/4:ablate@last")
    assert talk.set("resid_post.1/3:clamp=1") == parse_edit("resid_post.1/3:clamp=1")
    assert list(map(str, talk.spec.interventions)) == ["resid_post.1/4:ablate@last", "resid_post.1/3:clamp=1raw@all"]
    talk.clear("resid_post.1/4")
    assert len(talk.spec.interventions) == 1
    with pytest.raises(ValueError, match="is not edited"):
        talk.clear("resid_post.1/4")


@pytest.mark.parametrize(
    "wrong",
    ["", "resid_post.1/3", "resid_post.1/3 much", "resid_post.1/99 2", "resid_post.7/1 2", "resid_post.1/3 nan"],
)
def test_what_cannot_be_set_changes_nothing(wrong):
    talk = session()
    talk.set("resid_post.1/3 2")
    before = talk.spec
    with pytest.raises(ValueError, match=r"malformed|cannot be read|does not exist|has no site"):
        talk.set(wrong)
    assert talk.spec == before


def test_a_template_gives_a_memory_and_none_gives_none():
    talk = session(template=TEMPLATE)
    first = talk.reply("w1")
    second = talk.reply("w2")
    said = talk.steered.host.tokenizer(first.text, add_special_tokens=False)["input_ids"]
    assert second.prompt.ids.tolist() == [1, 44, 5, 45, *said, 44, 6, 45]
    talk.start_anew()
    assert talk.reply("w2").prompt.ids.tolist() == [1, 44, 6, 45]
    forgetful = session()
    forgetful.reply("w1")
    assert forgetful.reply("w2").prompt.ids.tolist() == [1, 6]
    assert not forgetful.turns


def test_what_does_not_fit_leaves_the_conversation_as_it_was():
    talk = session(template=TEMPLATE)
    talk.reply("w1")
    before = list(talk.turns)
    for text, message in [(" ", "blank"), (" ".join(["w3"] * 60), "at most 64"), (" ".join(["w3"] * 52), "at most 64")]:
        with pytest.raises(ValueError, match=message):
            talk.reply(text)
        assert talk.turns == before
