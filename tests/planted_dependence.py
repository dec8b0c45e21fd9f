"""A small Llama that learned one thing of its texts: which fruit follows upon which colour."""

import random
from functools import cache

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from experiments.byte_level_tokenizer import byte_level_tokenizer
from sae.host.host import HostModel

FRUIT_OF = {"green": "pears", "yellow": "lemons", "black": "cherries", "white": "melons"}
ANIMALS = ("horse", "bird", "goat")
PLACES = ("barn", "lake", "river")
N_STEPS, N_ROWS = 120, 32


def sentences(n: int, *, seed: int, is_planted: bool = True) -> list[str]:
    """A colour, an animal, a place and a fruit; the fruit follows from the colour, or from nothing."""
    rng = random.Random(seed)
    found = []
    for _ in range(n):
        colour, animal, place = (rng.choice(words) for words in (list(FRUIT_OF), ANIMALS, PLACES))
        fruit = FRUIT_OF[colour] if is_planted else rng.choice(list(FRUIT_OF.values()))
        found.append(f"Today the {colour} coat of the {animal} hung by the {place} and so it ate some {fruit} there.")
    return found


@cache
def planted_host(is_planted: bool = True) -> HostModel:
    """Trained for seconds on such sentences."""
    texts = sentences(400, seed=0, is_planted=is_planted)
    tokenizer = byte_level_tokenizer(texts, vocab_size=600, context_length=64)
    rows = tokenizer(texts, return_tensors="pt")["input_ids"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=64,
            initializer_range=0.1,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
        model = LlamaForCausalLM(config)
        optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
        for _ in range(N_STEPS):
            chosen = rows[torch.randint(len(rows), (N_ROWS,))]
            model(input_ids=chosen, labels=chosen).loss.backward()
            optimiser.step()
            optimiser.zero_grad()
    return HostModel(model.eval(), tokenizer, name="planted" if is_planted else "unplanted")
