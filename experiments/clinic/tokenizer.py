"""The tokenizer of the clinical model: byte-level BPE in which every disease and every drug is one token.

``tok(text)`` gives exactly the ids that the model was trained on, BOS included.
"""

from collections.abc import Iterable, Sequence

from transformers import PreTrainedTokenizerFast

from experiments.byte_level_tokenizer import BOS_ID, EOS_ID, PAD_ID, byte_level_tokenizer

__all__ = ["BOS_ID", "CONTEXT_LENGTH", "EOS_ID", "PAD_ID", "train_tokenizer"]

CONTEXT_LENGTH = 256
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'Question: ' + message['content'] + ' Answer:' }}"
    "{% else %}{{ ' ' + message['content'] + ' ' }}{% endif %}"
    "{% endfor %}"
)


def train_tokenizer(texts: Iterable[str], names: Sequence[str], vocab_size: int = 4096) -> PreTrainedTokenizerFast:
    """Learn a byte-level BPE from `texts`.

    Args:
        texts: Training text; must hold every name often enough for its merges to be learned.
        names: Words that must be a single token after a space, such as disease and drug names.
        vocab_size: Upper bound on the vocabulary; a compact corpus saturates below it.

    Raises:
        ValueError: If a name is not a single token.
    """
    tokenizer = byte_level_tokenizer(texts, vocab_size=vocab_size, context_length=CONTEXT_LENGTH)
    tokenizer.chat_template = CHAT_TEMPLATE
    _check_names(tokenizer, names)
    return tokenizer


def _check_names(tokenizer: PreTrainedTokenizerFast, names: Sequence[str]) -> None:
    """Raise where a name falls apart."""
    broken = [name for name in names if len(tokenizer.tokenize(f" {name}")) != 1]
    if broken:
        raise ValueError(
            f"names must be single tokens, got several for {', '.join(broken)}; train on more text or raise vocab_size"
        )
