"""A byte-level BPE tokenizer learned from texts, as transformers loads it."""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

__all__ = ["BOS_ID", "EOS_ID", "PAD_ID", "byte_level_tokenizer"]

SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>")
PAD_ID, BOS_ID, EOS_ID = range(3)


def byte_level_tokenizer(texts: Iterable[str], *, vocab_size: int, context_length: int) -> PreTrainedTokenizerFast:
    """Learn the tokenizer; `tok(text)` puts BOS in front.

    Args:
        texts: What to learn from.
        vocab_size: Upper bound on the vocabulary; a compact corpus saturates below it.
        context_length: Most tokens of a text, for those who ask the tokenizer.
    """
    return PreTrainedTokenizerFast(
        tokenizer_object=_byte_pairs(texts, vocab_size),
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        padding_side="left",
        model_max_length=context_length,
    )


def _byte_pairs(texts: Iterable[str], vocab_size: int) -> Tokenizer:
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
