"""From text to the token ids that a model is fed."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["continuation_ids", "conversation_text", "prompt_ids", "prompt_offsets", "single_token", "templated_ids"]


def prompt_ids(tokenizer: Any, text: str, *, chat: bool = False) -> list[int]:
    """Token ids of a prompt, with BOS in front where the tokenizer has one, whether or not it adds it itself.

    Args:
        tokenizer: A transformers tokenizer.
        text: The prompt.
        chat: Wrap the text as a user's turn in the tokenizer's chat template.

    Raises:
        ValueError: The text is blank, or there is no chat template.
    """
    if not text.strip():
        raise ValueError(f"the prompt is blank ({text!r}), expected some text")
    if chat:
        return templated_ids(tokenizer, conversation_text(tokenizer, [{"role": "user", "content": text}]))
    ids: list[int] = tokenizer(text, verbose=False)["input_ids"]
    return [*_missing_bos(tokenizer, ids), *ids]


def continuation_ids(tokenizer: Any, text: str, *, prompt: str = "") -> list[int]:
    """Token ids of a word or phrase as it would follow a prompt.

    Some tokenizers want the space before a word to be written, others put one there themselves: of both spellings the
    one with fewer tokens is meant, the written space where they have as many.

    Args:
        tokenizer: A transformers tokenizer.
        text: Not blank.
        prompt: What it follows; a space at its end is the one before `text`.
    """
    spaced = text if text[0].isspace() or prompt[-1:].isspace() else f" {text}"
    candidates: list[list[int]] = [
        tokenizer(candidate, add_special_tokens=False, verbose=False)["input_ids"] for candidate in (spaced, text)
    ]
    return min(candidates, key=len)


def single_token(tokenizer: Any, word: str) -> int:
    """The one token that a word is as it would follow a prompt.

    Raises:
        ValueError: It is none or several.
    """
    ids = continuation_ids(tokenizer, word.strip()) if word.strip() else []
    if len(ids) != 1:
        pieces = ", ".join(map(repr, tokenizer.convert_ids_to_tokens(ids))) or "none"
        raise ValueError(
            f"target {word!r} has {len(ids)} tokens ({pieces}), expected one; give a word that is one token, such as "
            "the first of the answer"
        )
    return ids[0]


def templated_ids(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text that has gone through the chat template, with BOS in front where the tokenizer has one."""
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return [*_missing_bos(tokenizer, ids), *ids]


def prompt_offsets(tokenizer: Any, text: str, *, is_templated: bool = False) -> list[tuple[int, int]]:
    """First character of each token of `prompt_ids` and the one after its last; (0, 0) where it stands for none.

    Args:
        tokenizer: A transformers tokenizer.
        text: The prompt, which is not blank.
        is_templated: Whether it has gone through the chat template already, as `conversation_text` gives it.

    Raises:
        ValueError: The tokenizer is not a fast one, which alone can say where its tokens lie.
    """
    if not tokenizer.is_fast:
        raise ValueError("the tokenizer does not say where its tokens lie, expected a fast one")
    encoded = tokenizer(text, add_special_tokens=not is_templated, return_offsets_mapping=True, verbose=False)
    offsets = [(int(start), int(end)) for start, end in encoded["offset_mapping"]]
    return [*((0, 0) for _ in _missing_bos(tokenizer, encoded["input_ids"])), *offsets]


def conversation_text(tokenizer: Any, turns: Sequence[Mapping[str, str]], **template: Any) -> str:
    """A conversation in the tokenizer's chat template, up to where the model's next turn begins.

    Args:
        tokenizer: A transformers tokenizer.
        turns: Each with a `role`, such as `user` or `assistant`, and its `content`.
        template: Variables of the chat template.

    Raises:
        ValueError: There is no chat template.
    """
    if not tokenizer.chat_template:
        raise ValueError("the model has no chat template; leave --chat away or take an instruction-tuned model")
    return str(tokenizer.apply_chat_template(list(turns), tokenize=False, add_generation_prompt=True, **template))


def _missing_bos(tokenizer: Any, ids: Sequence[int]) -> list[int]:
    """BOS, where the tokenizer has one and the ids do not begin with it."""
    bos = tokenizer.bos_token_id
    return [] if bos is None or list(ids[:1]) == [bos] else [bos]
