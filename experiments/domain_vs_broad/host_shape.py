"""How large a host is, in the numbers that its cost follows from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["HostShape"]

MLP_MATRICES = 3


@dataclass(frozen=True)
class HostShape:
    """A Llama's sizes.

    Attributes:
        d_model: Width of the stream.
        d_attention: Heads times their width.
        d_key_value: The same of the heads that hold keys and values.
        d_mlp: Width of the MLPs.
        n_layers: Layers.
        vocabulary: Tokens; embedding and unembedding are one matrix.
    """

    d_model: int
    d_attention: int
    d_key_value: int
    d_mlp: int
    n_layers: int
    vocabulary: int

    @classmethod
    def of_llama(cls, config: Mapping[str, Any]) -> "HostShape":
        """The sizes in a configuration as of `transformers.LlamaConfig`."""
        return cls(
            d_model=config["hidden_size"],
            d_attention=config["num_attention_heads"] * config["head_dim"],
            d_key_value=config["num_key_value_heads"] * config["head_dim"],
            d_mlp=config["intermediate_size"],
            n_layers=config["num_hidden_layers"],
            vocabulary=config["vocab_size"],
        )

    @property
    def layer_parameters(self) -> int:
        """Of the matrices of a layer."""
        attention = 2 * self.d_model * (self.d_attention + self.d_key_value)
        return attention + MLP_MATRICES * self.d_model * self.d_mlp

    @property
    def embedding_parameters(self) -> int:
        """Of the embedding."""
        return self.vocabulary * self.d_model

    @property
    def parameters(self) -> int:
        """Of all matrices; norms are left out."""
        return self.n_layers * self.layer_parameters + self.embedding_parameters

    def layer_operations(self, context: int) -> int:
        """Floating-point operations of a layer for a token: two a parameter, and attention to `context` tokens."""
        return 2 * self.layer_parameters + 4 * self.d_attention * context

    @property
    def unembedding_operations(self) -> int:
        """The same of a token's logits."""
        return 2 * self.embedding_parameters

    def low_rank_parameters(self, rank: int) -> int:
        """Of low-rank updates of every matrix of every layer: rows and columns of each, times the rank."""
        attention = 4 * self.d_model + 2 * (self.d_attention + self.d_key_value)
        return self.n_layers * rank * (attention + MLP_MATRICES * (self.d_model + self.d_mlp))
