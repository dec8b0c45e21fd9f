"""Pairs of stories: one difference, the language's answers; some skip where the model's weights are not at hand."""

from itertools import islice

import pytest

from experiments.byte_level_tokenizer import byte_level_tokenizer
from experiments.clinical_reasoning.alignment import misalignment
from experiments.clinical_reasoning.vignette_pair import KINDS
from experiments.stories.story_pairs import StoryPairs
from experiments.stories.told_stories import told_stories
from sae.host.prompts import continuation_ids

GIRLS, BOYS = {"girl", "Lily", "Mia", "Sara", "Sue"}, {"boy", "Tim", "Tom", "Max", "Bob"}


@pytest.fixture(scope="module")
def tokenizer():
    return byte_level_tokenizer(
        ["Once upon a time, there was a little girl named Lily."], vocab_size=280, context_length=99
    )


def test_pairs_differ_in_one_word_and_answer_as_the_language_does(tokenizer):
    pairs = list(StoryPairs(tokenizer).pairs("finding", seed=0))
    assert len(pairs) > 100
    assert len({text for pair in pairs for text in (pair.prompt, pair.changed_prompt)}) == 2 * len(pairs)
    for pair in pairs:
        [span], [changed] = pair.spans, pair.changed_spans
        word, other = pair.prompt[span.start : span.end], pair.changed_prompt[changed.start : changed.end]
        assert pair.prompt.replace(word, other, 1) == pair.changed_prompt
        assert misalignment(tokenizer, pair) is None
        if word in GIRLS | BOYS:
            assert pair.answer == ("she" if word in GIRLS else "he")
        if other in GIRLS | BOYS:
            assert pair.changed_answer == ("she" if other in GIRLS else "he")
        if pair.template.startswith("thing"):
            assert (pair.answer, pair.changed_answer) == (word, other)


def test_first_every_template_is_given_once(tokenizer):
    n_templates = len({pair.template for pair in StoryPairs(tokenizer).pairs("finding", seed=0)})
    first = [pair.template for pair in islice(StoryPairs(tokenizer).pairs("finding", seed=0), n_templates)]
    assert len(set(first)) == n_templates


def test_a_seed_gives_its_own_order(tokenizer):
    first, again, other = (list(islice(StoryPairs(tokenizer).pairs("finding", seed=seed), 50)) for seed in (0, 0, 1))
    assert first == again != other


def test_there_are_no_other_kinds(tokenizer):
    assert all(not list(StoryPairs(tokenizer).pairs(kind, seed=0)) for kind in KINDS if kind != "finding")


def test_the_model_answers_a_hundred_of_them(stories_host):
    pairs = list(islice(StoryPairs(stories_host.tokenizer).pairs("finding", seed=0), 250))
    right = 0
    for pair in pairs:
        rows = [stories_host.tokenise(text) for text in (pair.prompt, pair.changed_prompt)]
        tops = stories_host.forward(stories_host.batch(rows), logits_to_keep=1).logits[:, -1].argmax(dim=-1).tolist()
        answers = (pair.answer, pair.changed_answer)
        right += tops == [continuation_ids(stories_host.tokenizer, answer)[0] for answer in answers]
    assert right >= 100


def test_stories_are_told_again_for_a_seed_and_differ(stories_host):
    stories = told_stories(stories_host, 6, seed=1, n_tokens=30)
    assert stories == told_stories(stories_host, 6, seed=1, n_tokens=30)
    assert stories != told_stories(stories_host, 6, seed=2, n_tokens=30)
    assert len(set(stories)) == len(stories) == 6
