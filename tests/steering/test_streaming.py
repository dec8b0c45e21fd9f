"""What a terminal is shown while a text is written."""

import torch
from tiny_models import tiny_llama

from steering.dictionaries import Dictionaries
from steering.interventions import SteeringSpec
from steering.positions import read_prompt
from steering.steered_host import SteeredHost
from steering.streaming import TerminalStreamer
from steering.wording import readable_text


def test_the_pieces_are_the_text_and_end_the_line():
    host = tiny_llama()
    steered = SteeredHost(host, Dictionaries(host, saes={}))
    pieces: list[str] = []
    streamer = TerminalStreamer(host.tokenizer, pieces.append)
    [row] = steered.generate([read_prompt(host, "w1 w2")], [SteeringSpec()], max_new_tokens=8, streamer=streamer)
    assert len(pieces) > 2
    assert "".join(pieces).split() == row.text.split()
    assert pieces[-1].endswith("\n")


def test_a_text_cannot_move_the_cursor():
    assert readable_text("one\ntwo\x1b[2J\r") == "one\ntwo\N{REPLACEMENT CHARACTER}[2J↵"
    pieces: list[str] = []
    streamer = TerminalStreamer(tiny_llama().tokenizer, pieces.append)
    streamer.on_finalized_text("a\x07b")
    assert pieces == ["a\N{REPLACEMENT CHARACTER}b"]
    streamer.put(torch.tensor([[1, 4]]))
    assert len(pieces) == 1
