"""Encoded documents against every document encoded alone."""

import pytest
import torch
from planted_text import D_SAE, as_text, documents
from tiny_models import random_sae

from sae.host.sites import Site
from sae.interpretation.encoded_text import encode_text, joined_texts
from sae.interpretation.roles import Role, role_of

SITE = Site("resid_post", 1)
TEXTS = [" ".join(f"w{(5 * row + row * step) % 44}" for step in range(4 + row % 8)) for row in range(30)]


@pytest.fixture(scope="module")
def dictionary():
    return random_sae(site=SITE)


def test_every_activation_is_that_of_the_document_alone(tiny_host, dictionary):
    given = [TEXTS[0], " ", *TEXTS, TEXTS[3]]
    text = encode_text(tiny_host, dictionary, given, role_of, n_tokens=10_000)
    rows = [tiny_host.tokenise(each) for each in TEXTS]
    alone = torch.cat(
        [dictionary.encode(tiny_host.capture(tiny_host.batch([row]), [SITE])[SITE][0, 1:]) for row in rows]
    )

    assert text.texts == tuple(TEXTS)
    assert text.n_repeated == 2
    assert text.roles.tolist() == [role_of(each) for each in TEXTS]
    assert torch.equal(text.token_ids, torch.cat([row[1:] for row in rows]))
    for feature in range(text.d_sae):
        tokens, values = text.firings(feature)
        assert torch.equal(tokens, (alone[:, feature] > 0).nonzero()[:, 0])
        torch.testing.assert_close(values, alone[tokens, feature], rtol=1e-4, atol=1e-5)
    inside = text.has_role(Role.SCORE)
    torch.testing.assert_close(text.density(Role.SCORE), (alone[inside] > 0).double().mean(0))
    counted = [len(text.document_of_token[(alone[:, f] > 0) & inside].unique()) for f in range(text.d_sae)]
    assert text.document_counts(Role.SCORE).tolist() == counted


def test_only_as_many_tokens_as_asked_for(tiny_host, dictionary):
    text = encode_text(tiny_host, dictionary, TEXTS, role_of, n_tokens=50)

    assert len(text.token_ids) == int(text.document_offsets[-1]) == 50
    assert len(text.texts) == len(text.document_offsets) - 1


def test_joined_texts_are_one_after_the_other():
    rows = documents(30, seed=4)
    roles = [Role.EXPLAIN] * 20 + [Role.FRESH] * 10
    parts = [as_text(rows[:20], roles[:20], seed=1), as_text(rows[20:], roles[20:], seed=2)]
    whole = joined_texts(parts)

    assert whole.texts == parts[0].texts + parts[1].texts
    assert torch.equal(whole.token_ids, torch.cat([part.token_ids for part in parts]))
    assert whole.document_offsets.tolist()[20:22] == [len(parts[0].token_ids), len(parts[0].token_ids) + len(rows[20])]
    for feature in range(D_SAE):
        (first, _), (second, values) = (part.firings(feature) for part in parts)
        tokens, all_values = whole.firings(feature)
        assert torch.equal(tokens, torch.cat([first, second + len(parts[0].token_ids)]))
        assert torch.equal(all_values[len(first) :], values)
