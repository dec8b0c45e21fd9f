"""The local judge: log-probabilities of answers against the slow way, kept answers, and what it cannot do."""

import math

import pytest
import torch
from tiny_models import save_tiny_llama, tiny_llama

from sae.host.host import HostModel
from sae.interpretation.judges.answers import ask
from sae.interpretation.judges.cache import AnswerCache
from sae.interpretation.judges.hugging_face import HuggingFaceJudge, spellings
from sae.interpretation.judges.request import JudgeBackend, JudgeRequest, Message


@pytest.fixture(scope="module")
def host():
    """Words are tokens, and `w1` to `w43` the answers that it knows."""
    return tiny_llama()


@pytest.fixture(scope="module")
def clinic():
    return HostModel.load("clinic", device="cpu")


def question(text, choices=("w1", "w2"), **params):
    return JudgeRequest((Message("system", "w9 w8"), Message("user", text)), choices=choices, **params)


def slow_log_prob(host, prompt, spelling):
    """Teacher-forced, one row, all logits."""
    row = torch.tensor([*prompt, *spelling])
    log_probs = host.forward(host.batch([row])).logits[0].float().log_softmax(-1)
    return sum(float(log_probs[len(prompt) - 1 + n, token]) for n, token in enumerate(spelling))


def test_the_likelier_answer_is_taken(host):
    judge = HuggingFaceJudge(host, batch=3)
    texts = [" ".join(f"w{(3 * k + n) % 40}" for n in range(1 + k)) for k in range(10)]
    verdicts = ask(judge, [question(text) for text in texts])
    for text, verdict in zip(texts, verdicts, strict=True):
        prompt = host.tokenise(f"w9 w8\n\n{text}\nAnswer:").tolist()
        by_hand = {choice: slow_log_prob(host, prompt, (4 + int(choice[1:]),)) for choice in ("w1", "w2")}
        assert verdict.choice == max(by_hand, key=by_hand.get)
        assert verdict.yes_logit is None
    assert {each.choice for each in verdicts} == {"w1", "w2"}
    assert isinstance(judge, JudgeBackend)


def test_yes_and_no_are_summed_over_their_spellings(clinic):
    """In the bundled host's tokenizer they have up to three tokens; the fast path shares beginnings and batches."""
    judge = HuggingFaceJudge(clinic, batch=4)
    texts = ["Fever and chills.", "Is there a cough in a young woman with a cough?", "No."]
    requests = [JudgeRequest((Message("system", "You judge."), Message("user", text))) for text in texts]
    verdicts = ask(judge, requests)
    spelt = spellings(clinic.tokenizer, ("yes", "no"))
    assert {len(each) for each in spelt["yes"]} == {1, 2, 3}
    for text, verdict in zip(texts, verdicts, strict=True):
        prompt = clinic.tokenizer(f"<bos>Question: You judge.\n\n{text} Answer:", add_special_tokens=False)["input_ids"]
        sums = {
            choice: math.log(sum(math.exp(slow_log_prob(clinic, prompt, each)) for each in group))
            for choice, group in spelt.items()
        }
        assert verdict.yes_logit == pytest.approx(sums["yes"] - sums["no"], abs=1e-4)
        assert verdict.choice == ("yes" if sums["yes"] > sums["no"] else "no")


def test_the_name_tells_the_weights_apart(clinic, host, tmp_path):
    models = [save_tiny_llama(tmp_path / where / "judge", seed=seed) for seed, where in enumerate("ab")]
    judges = [HuggingFaceJudge(HostModel.load(path, device="cpu")) for path in (*models, models[0])]
    assert {judge.name for judge in judges} == {"hf:judge"}
    assert judges[0].model == judges[2].model != judges[1].model
    assert HuggingFaceJudge(clinic).name == "hf:clinic"
    assert HuggingFaceJudge(clinic).model.startswith("hf:clinic@")
    assert HuggingFaceJudge(host).model == "hf:tiny"


def test_known_answers_are_not_computed_again(host, tmp_path, monkeypatch):
    with AnswerCache(tmp_path / "judge.sqlite") as cache:
        judge = HuggingFaceJudge(host, cache, batch=2)
        first = ask(judge, [question("w1"), question("w2"), question("w1")])
        assert len(cache) == 2
        monkeypatch.setattr(host, "forward", None)
        again = ask(judge, [question("w2"), question("w1")])
        assert [each.choice for each in again] == [first[1].choice, first[0].choice]
        assert all(each.results[0].cached for each in again)
        assert judge.known(question("w1"))
        assert not judge.known(question("w3"))


def test_a_question_that_is_too_long_is_a_failure(host):
    long, short = ask(HuggingFaceJudge(host), [question(" ".join(["w1"] * 70)), question("w1")])
    assert long.choice is None
    assert "the question has 74 tokens, more than the 64 of the judge" in long.error
    assert short.choice is not None


def test_answers_that_the_tokenizer_does_not_know_are_refused(host):
    with pytest.raises(ValueError, match="does not know the answer 'yes', expected one that can write"):
        ask(HuggingFaceJudge(host), [question("w1", choices=("yes", "no"))])
