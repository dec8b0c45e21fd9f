"""From text to the token ids that a model is fed."""

from collections.abc import Sequence
from typing import Any

__all__ = ["conversation_ids", "prompt_ids"]


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
    if chat and not tokenizer.chat_template:
        raise ValueError("the model has no chat template; leave --chat away or take an instruction-tuned model")
    return conversation_ids(tokenizer, [("user", text)]) if chat else _ids(tokenizer, text, add_special_tokens=True)


def conversation_ids(tokenizer: Any, turns: Sequence[tuple[str, str]], **template: Any) -> list[int]:
    """Token ids of a conversation that the model is to answer, with BOS in front where the tokenizer has one.

    Args:
        tokenizer: A transformers tokenizer with a chat template.
        turns: Role and text of each turn.
        template: Variables of the chat template.
    """
    messages = [{"role": role, "content": text} for role, text in turns]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **template)
    return _ids(tokenizer, str(text), add_special_tokens=False)


def _ids(tokenizer: Any, text: str, *, add_special_tokens: bool) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=add_special_tokens, verbose=False)["input_ids"]
    bos = tokenizer.bos_token_id
    return ids if bos is None or ids[:1] == [bos] else [bos, *ids]
