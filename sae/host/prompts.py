"""From text to the token ids that a model is fed."""

from typing import Any

__all__ = ["prompt_ids"]


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
        text = _user_turn(tokenizer, text)
    ids: list[int] = tokenizer(text, add_special_tokens=not chat, verbose=False)["input_ids"]
    bos = tokenizer.bos_token_id
    return ids if bos is None or ids[:1] == [bos] else [bos, *ids]


def _user_turn(tokenizer: Any, text: str) -> str:
    if not tokenizer.chat_template:
        raise ValueError("the model has no chat template; leave --chat away or take an instruction-tuned model")
    turns = [{"role": "user", "content": text}]
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
