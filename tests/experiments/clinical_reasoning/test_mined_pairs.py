"""Mining finds what a model was taught to depend on, finds nothing in models that were not, and says what is true."""

from itertools import islice

import pytest
import torch
from planted_dependence import FRUIT_OF, planted_host, sentences
from tiny_models import tiny_llama_model

from experiments.clinical_reasoning.mined_pairs import MinedPairs
from experiments.clinical_reasoning.swaps import opening_of, swaps_of
from experiments.clinical_reasoning.turns import MiningRule
from experiments.clinical_reasoning.vignette_pair import KINDS
from experiments.clinical_reasoning.word_frames import WordFrames
from sae.host.host import HostModel
from sae.host.prompts import continuation_ids

RULE = MiningRule(n_substitutes=3, margin=3.0)
TEXTS = sentences(20, seed=1)


@pytest.fixture(scope="module")
def pairs():
    found = list(MinedPairs(planted_host(), TEXTS, RULE).pairs("finding", seed=0))
    assert found, "without pairs the tests below say nothing"
    return found


def next_logits(host, text):
    """Of the plain model, one prompt at a time."""
    ids = torch.tensor([host.tokenizer(text)["input_ids"]])
    with torch.no_grad():
        return host._model(input_ids=ids).logits[0].float()


def test_the_planted_dependence_is_found_in_every_document(pairs):
    assert len(pairs) == len({pair.template for pair in pairs}) == len(TEXTS)
    for pair in pairs:
        colour, other = (name.removeprefix("word:") for name in (pair.changed_from, pair.changed_to))
        assert (pair.answer, pair.changed_answer) == (FRUIT_OF[colour], FRUIT_OF[other])


def test_nothing_is_found_where_nothing_was_planted():
    assert list(MinedPairs(planted_host(is_planted=False), TEXTS, RULE).pairs("finding", seed=0)) == []


def test_nothing_is_found_in_random_weights():
    taught = planted_host()
    model = tiny_llama_model(vocab_size=len(taught.tokenizer), initializer_range=0.02)
    assert (
        list(MinedPairs(HostModel(model, taught.tokenizer, name="random"), TEXTS, RULE).pairs("finding", seed=0)) == []
    )


def test_the_model_by_itself_answers_what_a_pair_says(pairs):
    host = planted_host()
    for pair in pairs:
        rows = [host.tokenizer(text)["input_ids"] for text in (pair.prompt, pair.changed_prompt)]
        differing = [i for i, (a, b) in enumerate(zip(*rows, strict=True)) if a != b]
        assert len(rows[0]) - 1 - differing[-1] >= RULE.distance
        logits, changed = (next_logits(host, text) for text in (pair.prompt, pair.changed_prompt))
        answer, changed_answer = (continuation_ids(host.tokenizer, text) for text in (pair.answer, pair.changed_answer))
        assert [int(each[-1].argmax()) for each in (logits, changed)] == [answer[0], changed_answer[0]]
        move = [float(each[-1, answer[0]] - each[-1, changed_answer[0]]) for each in (logits, changed)]
        assert move[0] - move[1] >= RULE.margin
        own, substitute = (
            sum(float(each[i - 1].log_softmax(dim=-1)[row[i]]) for i in range(differing[0], differing[-1] + 1))
            for each, row in zip((logits, changed), rows, strict=True)
        )
        assert substitute - own >= torch.tensor(RULE.plausibility).log()


def test_spans_name_the_one_difference(pairs):
    for pair in pairs:
        [span], [changed] = pair.spans, pair.changed_spans
        assert (pair.prompt[: span.start], pair.prompt[span.end :]) == (
            pair.changed_prompt[: changed.start],
            pair.changed_prompt[changed.end :],
        )
        assert f"word:{pair.prompt[span.start : span.end]}" == span.concept == pair.changed_from
        assert f"word:{pair.changed_prompt[changed.start : changed.end]}" == changed.concept == pair.changed_to


def test_a_seed_orders_the_documents_and_mines_nothing_new(pairs):
    source = MinedPairs(planted_host(), TEXTS, RULE)
    first = list(islice(source.pairs("finding", seed=0), 3))
    assert first == pairs[:3]
    again = list(source.pairs("finding", seed=1))
    assert again != pairs
    assert {pair.template: pair for pair in again} == {pair.template: pair for pair in pairs}


def test_there_are_no_other_kinds():
    source = MinedPairs(planted_host(), TEXTS, RULE)
    assert [list(source.pairs(kind, seed=0)) for kind in KINDS if kind != "finding"] == [[]] * (len(KINDS) - 1)


@pytest.mark.parametrize(
    "rule",
    [MiningRule(margin=1000.0), MiningRule(plausibility=1e6), MiningRule(distance=60), MiningRule(n_substitutes=0)],
    ids=["margin", "plausibility", "distance", "substitutes"],
)
def test_what_no_swap_can_meet_leaves_nothing(rule):
    assert list(MinedPairs(planted_host(), TEXTS, rule).pairs("finding", seed=0)) == []


@pytest.mark.parametrize("texts", [[], ["", "  \n"], ["pears"], ["Once the green"]])
def test_documents_without_anything_to_swap_give_no_pair(texts):
    assert list(MinedPairs(planted_host(), texts, RULE).pairs("finding", seed=0)) == []


def test_swaps_keep_all_tokens_but_the_words_own():
    tokenizer = planted_host().tokenizer
    opening = opening_of(tokenizer, TEXTS[0], n_tokens=64)
    swaps = list(swaps_of(tokenizer, opening, WordFrames(TEXTS), n_substitutes=9))
    assert swaps
    for swap in swaps:
        before, after = slice(0, swap.first), slice(swap.last + 1, None)
        for part in (before, after):
            assert torch.equal(swap.changed.ids[part], opening.ids[part])


def test_words_of_another_length_in_tokens_are_no_swaps():
    tokenizer = planted_host().tokenizer
    texts = ["so it ate some pears there by the barn", "so it ate some persimmons there by the barn"]
    opening = opening_of(tokenizer, texts[0], n_tokens=64)
    assert list(swaps_of(tokenizer, opening, WordFrames(texts), n_substitutes=9)) == []


def test_an_opening_ends_with_its_last_token():
    tokenizer = planted_host().tokenizer
    text = sentences(1, seed=3)[0]
    whole = tokenizer(text)["input_ids"]
    opening = opening_of(tokenizer, text, n_tokens=7)
    assert opening.ids.tolist() == whole[:7]
    assert text.startswith(opening.text)
    assert len(opening.text) < len(text)
    assert opening.ends[-1] == len(opening.text)
    assert opening_of(tokenizer, " \n", n_tokens=7) is None
