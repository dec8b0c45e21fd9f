"""A small Llama trained on real text: broad text first, then a domain's."""
