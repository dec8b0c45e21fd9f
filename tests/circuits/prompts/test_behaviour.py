import pytest
import torch
from circuit_cases import CONTRAST, PROMPT, behaviour, host

from circuits.prompts.behaviour import describe_behaviour


def test_the_target_defaults_to_the_models_answer_and_the_foil_to_the_contrasts():
    about = describe_behaviour(host(), PROMPT, contrast="w30 w31 w7 w14 w25")
    clean = host().forward(host().batch([about.prompt_ids])).logits[0, -1]
    contrast = host().forward(host().batch([about.contrast_ids])).logits[0, -1]
    assert about.target.token_ids == (clean.argmax().item(),)
    assert about.foil.token_ids == (contrast.argmax().item(),)


def test_without_a_contrast_the_foil_is_the_runner_up():
    about = describe_behaviour(host(), PROMPT)
    clean = host().forward(host().batch([about.prompt_ids])).logits[0, -1]
    assert about.foil.token_ids == (clean.topk(2).indices[1].item(),)


def test_the_runner_up_to_a_given_target_is_the_models_own_answer():
    top, second = host().forward(host().batch([host().tokenise(PROMPT)])).logits[0, -1].topk(2).indices.tolist()
    about = describe_behaviour(host(), PROMPT, target=host().tokenizer.decode([second]))
    assert about.foil.token_ids == (top,)


def test_the_metric_of_single_tokens_is_a_logit_difference():
    about = behaviour(target="w8", foil="w9")
    batch = about.batch(host(), [about.prompt_ids])
    logits = host().forward(batch).logits
    expected = logits[0, -1, host().tokenizer.convert_tokens_to_ids("w8")]
    expected = expected - logits[0, -1, host().tokenizer.convert_tokens_to_ids("w9")]
    assert about.metric(logits[:, -1:]).item() == pytest.approx(expected.item(), abs=1e-6)
    assert about.unit == "logits"


def test_answers_of_several_tokens_are_scored_by_teacher_forced_log_probability():
    about = behaviour(target="w8 w3", foil="w9")
    logits = host().forward(about.batch(host(), [about.prompt_ids]), logits_to_keep=about.kept_logits).logits

    def log_prob(answer: str) -> float:
        ids = host().tokenise(f"{PROMPT} {answer}")
        log_probs = host().forward(host().batch([ids])).logits[0].log_softmax(-1)
        start = len(about.prompt_ids)
        return sum(log_probs[i - 1, ids[i]].item() for i in range(start, len(ids)))

    assert about.metric(logits).item() == pytest.approx(log_prob("w8 w3") - log_prob("w9"), abs=1e-5)
    assert about.unit == "log-probability (nats)"


def test_a_contrast_of_another_length_says_where_they_differ():
    with pytest.raises(ValueError, match=r"contrast has 5 tokens, expected 6.*token 3.*'w3'.*'w7'"):
        describe_behaviour(host(), PROMPT, contrast="w1 w2 w7 w5")


def test_an_equal_contrast_is_refused():
    with pytest.raises(ValueError, match="contrast is equal to the prompt"):
        describe_behaviour(host(), PROMPT, contrast=PROMPT)


@pytest.mark.parametrize("name", ["target", "foil"])
def test_an_empty_answer_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} is '  ', expected a word"):
        describe_behaviour(host(), PROMPT, **{name: "  "})


def test_equal_target_and_foil_are_refused():
    with pytest.raises(ValueError, match="target and foil are both"):
        describe_behaviour(host(), PROMPT, contrast=CONTRAST, target="w8", foil="w8")


def test_appended_answer_tokens_are_no_nodes():
    about = behaviour(target="w8 w3 w4", foil="w9")
    batch = about.batch(host(), [about.prompt_ids])
    assert batch.ids.shape == (2, len(about.prompt_ids) + 2)
    assert not batch.node_mask[:, len(about.prompt_ids) :].any()
    assert torch.equal(batch.node_mask[0], batch.node_mask[1])
