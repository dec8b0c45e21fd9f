"""`--contrast auto`: a lone prompt gets the contrast that is found for it, or is compared with references after all."""

from dataclasses import replace
from typing import Any

from circuits.prompts.behaviour import describe_behaviour
from circuits.prompts.contrast_search import search_contrast
from circuits.prompts.references import read_references
from circuits.question import Question
from circuits.workbench import Workbench

__all__ = ["AUTO", "with_found_contrast"]

AUTO = "auto"


def with_found_contrast(question: Question, bench: Workbench) -> tuple[Question, dict[str, Any]]:
    """The question with a contrast in the place of `auto`, and what the record of a circuit says about the search.

    Raises:
        ValueError: The search needs what is not there: reference prompts, answers of one token, a plain prompt.
    """
    if question.contrast != AUTO:
        return question, {}
    if question.chat:
        raise ValueError(
            "contrast 'auto' cannot be searched inside a chat template; give the contrast, or leave --chat"
        )
    assert question.prompt is not None
    host = bench.host
    behaviour = describe_behaviour(host, question.prompt, target=question.target, foil=question.foil)
    if behaviour.is_teacher_forced:
        raise ValueError("contrast 'auto' needs answers of one token; give the contrast")
    target = behaviour.target.token_ids[0]
    own = int(host.forward(host.batch([behaviour.prompt_ids]), logits_to_keep=1).logits[0, -1].argmax())
    if target != own:
        answer = host.tokenizer.decode([own])
        raise ValueError(
            f"contrast 'auto' turns the model's own answer {answer!r}, but target is {behaviour.target.text!r}; "
            "leave --target, or give the contrast"
        )
    pool = bench.bundled_references if question.reference is None else read_references(host, question.reference)
    foil = None if question.foil is None else behaviour.foil.token_ids[0]
    found = search_contrast(host, behaviour.prompt_ids, pool, target=target, foil=foil)
    if found is None:
        return replace(question, contrast=None), {"contrast_search": {"contrast": None, "replaced": []}}
    return replace(question, contrast=found.prompt), {"contrast_search": found.to_json()}
