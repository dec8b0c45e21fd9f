"""Rows of tokens, and the order in which they are read."""

import pytest
import torch
from tiny_models import tiny_tokenizer

from experiments.adaptation.token_blocks import TokenBlocks, rows_of_pass

TEXTS = ["w0 w1 w2", "w3", "w4 w5 w6 w7"]


def test_documents_lie_end_to_end_with_their_borders():
    blocks = TokenBlocks.pack(tiny_tokenizer(), TEXTS, context_length=3, n_tokens=100)
    flat = [1, 4, 5, 6, 2, 1, 7, 2, 1, 8, 9, 10, 11, 2]
    assert blocks.ids.flatten().tolist() == flat[:12]
    assert (blocks.n_tokens, blocks.n_documents) == (12, 3)


def test_reading_stops_where_enough_was_read():
    def texts():
        for _ in range(300):
            yield "w1 w2"
        raise AssertionError("read on after enough")

    assert TokenBlocks.pack(tiny_tokenizer(), texts(), context_length=4, n_tokens=8).n_tokens == 8


def test_a_corpus_without_a_full_row_is_refused():
    with pytest.raises(ValueError, match=r"the corpus holds 5 tokens in 1 documents .* one row of 6"):
        TokenBlocks.pack(tiny_tokenizer(), ["w1 w2 w3"], context_length=6, n_tokens=6)


def test_files_are_read_again_unless_they_were_made_from_something_else(tmp_path):
    blocks = TokenBlocks.pack(tiny_tokenizer(), TEXTS, context_length=3, n_tokens=12)
    path = tmp_path / "tokens.safetensors"
    assert TokenBlocks.load(path, {"corpus": "a"}) is None
    blocks.save(path, {"corpus": "a"})
    again = TokenBlocks.load(path, {"corpus": "a"})
    assert again is not None
    assert again.ids.equal(blocks.ids)
    assert (again.n_documents, again.digest) == (3, blocks.digest)
    assert TokenBlocks.load(path, {"corpus": "b"}) is None


def test_every_epoch_reads_every_row_once_in_an_order_of_its_own():
    passes = [rows_of_pass(number, n_blocks=6, batch_size=4, seed=0) for number in range(6)]
    rows = torch.cat(passes).view(4, 6)
    assert all(sorted(epoch.tolist()) == list(range(6)) for epoch in rows)
    assert len({tuple(epoch.tolist()) for epoch in rows}) > 1
    assert passes[3].equal(rows_of_pass(3, n_blocks=6, batch_size=4, seed=0))
