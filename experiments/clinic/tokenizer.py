"""The tokenizer of the clinical model: byte-level BPE in which every disease and every drug is one token.

``tok(text)`` gives exactly the ids that the model was trained on, BOS included.
"""

from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

__all__ = ["BOS_ID", "CONTEXT_LENGTH", "EOS_ID", "PAD_ID", "train_tokenizer"]

SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>")
PAD_ID, BOS_ID, EOS_ID = range(3)
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
    bpe = _train_bpe(texts, vocab_size)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        padding_side="left",
        model_max_length=CONTEXT_LENGTH,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    _check_names(tokenizer, names)
    return tokenizer


def _train_bpe(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """The bare tokenizer, which puts BOS in front."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", BOS_ID)]
    )
    return bpe


def _check_names(tokenizer: PreTrainedTokenizerFast, names: Sequence[str]) -> None:
    """Raise where a name falls apart."""
    broken = [name for name in names if len(tokenizer.tokenize(f" {name}")) != 1]
    if broken:
        raise ValueError(
            f"names must be single tokens, got several for {', '.join(broken)}; train on more text or raise vocab_size"
        )
