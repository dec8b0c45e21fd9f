"""The contrast that is found is the smallest replacement that turns the answer; checked by trying them all."""

import pytest
import torch
from circuit_cases import host

from circuits.prompts.contrast_search import _Replacements, search_contrast
from circuits.prompts.references import ReferencePool

PROMPT = "w1 w2 w3 w4 w5"


def pool_of(*texts: str) -> ReferencePool:
    return ReferencePool.of([host().tokenise(text) for text in texts])


def answer(ids: torch.Tensor) -> int:
    return int(host().forward(host().batch([ids]), logits_to_keep=1).logits[0, -1].argmax())


@pytest.fixture(scope="module")
def everywhere():
    """Any of twelve words may stand in the third place, and any in the fifth."""
    thirds = [f"w1 w2 w{i} w4 w5" for i in range(6, 18)]
    fifths = [f"w1 w2 w3 w4 w{i}" for i in range(6, 18)]
    return pool_of(*thirds, *fifths)


def test_replacements_stand_between_the_same_neighbours():
    replacements = _Replacements(pool_of("w1 w2 w3", "w1 w7 w3", "w9 w8 w3"))
    w1, w2, w3, w7 = (int(host().tokenise(text)[1]) for text in ("w1", "w2", "w3", "w7"))
    assert replacements.between(w1, w3, instead_of=w2) == [w7]
    assert replacements.between(w3, w1, instead_of=w2) == []
    assert replacements.between(w7, None, instead_of=w2) == [w3]


def test_the_found_contrast_turns_the_answer_by_one_token(everywhere):
    ids = host().tokenise(PROMPT)
    target = answer(ids)
    found = search_contrast(host(), ids, everywhere, target=target)
    assert found is not None
    assert len(found.prompt_ids) == len(ids)
    assert answer(found.prompt_ids) == found.answer != target
    assert torch.equal(host().tokenise(found.prompt), found.prompt_ids)
    [position] = (found.prompt_ids != ids).nonzero()[:, 0].tolist()
    assert found.replaced == {position: (f"w{position}", host().tokenizer.decode([int(found.prompt_ids[position])]))}


def test_of_those_that_turn_it_the_likeliest_prompt_is_taken(everywhere):
    ids = host().tokenise(PROMPT)
    target = answer(ids)
    rows = torch.stack([row[row >= 0] for row in everywhere.token_ids])
    logits = host().forward(host().batch(list(rows))).logits
    log_probs = logits[:, :-1].log_softmax(-1).gather(2, rows[:, 1:, None])[..., 0].sum(1)
    turned = logits[:, -1].argmax(-1) != target
    expected = rows[turned][log_probs[turned].argmax()]
    found = search_contrast(host(), ids, everywhere, target=target)
    assert torch.equal(found.prompt_ids, expected)


def test_a_wanted_foil_is_reached(everywhere):
    ids = host().tokenise(PROMPT)
    target = answer(ids)
    answers = {answer(row[row >= 0]) for row in everywhere.token_ids} - {target}
    for foil in answers:
        found = search_contrast(host(), ids, everywhere, target=target, foil=foil)
        assert answer(found.prompt_ids) == found.answer == foil


def test_nothing_is_found_where_nothing_may_be_replaced():
    ids = host().tokenise(PROMPT)
    assert search_contrast(host(), ids, pool_of(PROMPT), target=answer(ids)) is None
