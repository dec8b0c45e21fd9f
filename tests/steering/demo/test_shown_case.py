"""The shown case against the definition: torch's own hooks, one text after another."""

from functools import partial

import pytest
import torch
from plain_hooks import plain_hooks
from steered_oracle import oracle_generate, oracle_logits, steered_token
from tiny_models import random_sae, random_transcoder, tiny_llama_model

from sae.host.sites import Site
from steering.demo.shown_case import show_case
from steering.dictionaries import Dictionaries
from steering.interventions import SteeringSpec
from steering.parsing import parse_edit
from steering.positions import read_prompt
from steering.steered_host import SteeredHost

SITE = Site("resid_post", 1)
SAES = {SITE: random_sae(site=SITE)}
BOS, EOS, FEATURE = 1, 2, 3
STRENGTHS = (0.0, 4.0, 40.0)
TARGET = torch.tensor([9, 30])
FOLLOW_UP = " w7 w8"


@pytest.fixture(scope="module")
def steered(tiny_host):
    return SteeredHost(tiny_host, Dictionaries(tiny_host, saes=SAES))


@pytest.fixture(scope="module")
def model():
    return tiny_llama_model()


@pytest.fixture(scope="module")
def prompt(tiny_host):
    return read_prompt(tiny_host, "w4 w5 w6 w7 w8 w9")


def specs(site=SITE, strengths=STRENGTHS):
    return [SteeringSpec((parse_edit(f"{site}/{FEATURE}:add={value}@last"),)) for value in strengths]


def shown(steered, prompt, **options):
    return show_case(steered, prompt, specs(), target_ids=TARGET, max_new_tokens=6, **options)


def text_of(ids):
    return [f" w{token - 4}" for token in ids if token > 3]


def stripped(tokens):
    return [token.strip() for token in tokens]


def test_texts_and_probabilities_are_those_of_the_definition(steered, model, prompt):
    texts = shown(steered, prompt)
    run = partial(oracle_logits, model, saes=SAES, bos=BOS)
    plain = run(prompt.ids, prompt, SteeringSpec())[-1].double().log_softmax(-1)
    for spec, text in zip(specs(), texts, strict=True):
        ids = oracle_generate(model, prompt, spec, SAES, n=6, bos=BOS, end=[EOS])
        assert stripped(token.text for token in text.tokens if not token.is_given) == stripped(text_of(ids))
        log_probs = run(torch.cat([prompt.ids, TARGET]), prompt, spec).double().log_softmax(-1)
        at = len(prompt.ids) - 1
        target = log_probs[at, TARGET[0]] + log_probs[at + 1, TARGET[1]]
        assert text.target_probability == pytest.approx(float(target.exp()), rel=1e-4)
        assert text.answer_probability == pytest.approx(float(log_probs[at, plain.argmax()].exp()), rel=1e-4)
        kl = (log_probs[at].exp() * (log_probs[at] - plain)).sum()
        assert text.kl == pytest.approx(float(kl), rel=1e-3, abs=1e-9)


def test_strength_0_is_the_plain_text_without_any_divergence(steered, prompt):
    zero, *others = shown(steered, prompt)
    assert (zero.kl, zero.edit.norm_ratio) == (0.0, 0.0)
    assert all(other.kl > 0 for other in others)
    assert zero.answer_probability == pytest.approx(
        float(steered.forward([prompt], [SteeringSpec()], logits_to_keep=1).logits[0, -1].softmax(-1).max()), rel=1e-5
    )


def test_activations_are_read_where_the_edit_has_been_made(steered, model, prompt):
    for spec, text in zip(specs(), shown(steered, prompt), strict=True):
        last = len(prompt.ids) - 1
        seen = {}

        def edit(x, spec=spec, seen=seen, last=last):
            x = x.clone()
            x[0, last] = steered_token(x[0, last], spec.interventions, SAES)
            seen["acts"] = SAES[SITE].encode(x)[0, :, FEATURE]
            return x

        new = oracle_generate(model, prompt, spec, SAES, n=6, bos=BOS, end=[EOS])
        with torch.no_grad(), plain_hooks(model, {SITE: edit}):
            model(input_ids=torch.cat([prompt.ids, torch.tensor(new)])[None], use_cache=False)
        ids = [*prompt.ids.tolist(), *new]
        kept = [value for value, token in zip(seen["acts"].tolist(), ids, strict=True) if token > 3]
        assert [token.activation for token in text.tokens] == pytest.approx(kept, rel=1e-4, abs=1e-5)


def test_a_follow_up_is_put_behind_texts_that_have_ended_and_steered_where_the_answer_was_decided(
    steered, model, prompt, monkeypatch
):
    plain = oracle_generate(model, prompt, SteeringSpec(), SAES, n=6, bos=BOS)
    ends = plain[1]
    monkeypatch.setattr(type(steered.host), "end_of_text_ids", (ends,))
    texts = shown(steered, prompt, follow_up=FOLLOW_UP)
    has_followed = False
    for spec, text in zip(specs(), texts, strict=True):
        ids = oracle_generate(model, prompt, spec, SAES, n=6, bos=BOS, end=[ends])
        pieces = [(ids, False)]
        if ids[-1] == ends:
            has_followed = True
            asked = torch.cat([prompt.ids, torch.tensor([*ids[:-1], 11, 12])])
            moved = SteeringSpec((parse_edit(f"{SITE}/{FEATURE}:add={spec.interventions[0].value}@span:answer"),))
            start = type(prompt)(prompt.text, asked, {"answer": (len(prompt.ids) - 1,)})
            more = oracle_generate(model, start, moved, SAES, n=6, bos=BOS, end=[ends])
            pieces = [(ids[:-1], False), ([11, 12], True), (more, False)]
        wanted = [(word.strip(), given) for piece, given in pieces for word in text_of(piece)]
        rest = text.tokens[len(prompt.ids) - 1 :]
        assert [(token.text.strip(), token.is_given) for token in rest] == wanted
    assert has_followed


def test_a_transcoders_feature_is_read_from_its_own_input(tiny_host, prompt):
    site = Site("mlp_out", 1)
    transcoder = random_transcoder(1)
    steered = SteeredHost(tiny_host, Dictionaries(tiny_host, saes={site: transcoder}))
    plain, *_ = show_case(steered, prompt, specs(site), target_ids=TARGET, max_new_tokens=1)
    batch = tiny_host.batch([prompt.ids])
    read = transcoder.input_site
    acts = transcoder.encode(tiny_host.capture(batch, [read])[read])[0, 1:, FEATURE]
    assert [token.activation for token in plain.tokens][: len(acts)] == pytest.approx(acts.tolist(), abs=1e-5)
