"""A language model with its tokenizer: loading it, and turning text into batches for it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.host.loading import load_model, load_tokenizer, locate_model, resolve_device, resolve_dtype
from sae.host.prompts import conversation_text, prompt_ids, templated_ids
from sae.host.sites import NEURONS, Site, all_sites, configured_family, inner_sites
from sae.host.token_batch import TokenBatch

__all__ = ["LanguageModel"]

Loaded = TypeVar("Loaded", bound="LanguageModel")


class LanguageModel:
    """A causal language model, frozen, and its tokenizer.

    Args:
        model: A transformers causal language model of a supported family.
        tokenizer: Its tokenizer.
        name: What the user calls it.
        path: Its directory, if it has one.

    Attributes:
        family: Module paths of the model's family.
        sites: The stream and what is added to it, in forward order.
        all_sites: These, what each MLP reads, and its neurons.
        context_length: Most tokens that a row may have.

    Raises:
        ValueError: The family is not supported.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str, path: Path | None = None) -> None:
        self.family = configured_family(model.config)
        config = model.config.get_text_config()
        self.name = name
        self.path = path
        self.tokenizer = tokenizer
        self.d_model: int = config.hidden_size
        self.d_mlp: int = config.intermediate_size
        self.n_layers: int = config.num_hidden_layers
        self.vocab_size: int = config.vocab_size
        self.context_length: int = config.max_position_embeddings
        self.sites = all_sites(self.n_layers)
        self.all_sites = tuple(sorted((*self.sites, *inner_sites(self.n_layers))))
        self._model = model.requires_grad_(False).eval()

    @classmethod
    def load(
        cls: type[Loaded],
        name: str | Path,
        *,
        dtype: str = "float32",
        device: str = "auto",
        device_map: Any = None,
    ) -> Loaded:
        """Load a model and its tokenizer.

        Args:
            name: A bundled name, a directory, or a Hugging Face id.
            dtype: `float32`, `bfloat16` or `float16`. Gradients are taken in float32 whatever it is.
            device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; not used with `device_map`.
            device_map: Spreads a large model over devices, as in accelerate.

        Raises:
            ValueError: Something about the arguments or the model's files is not as expected.
        """
        torch_dtype, torch_device = resolve_dtype(dtype), resolve_device(device)
        path = locate_model(str(name))
        tokenizer = load_tokenizer(path)
        model = load_model(path, torch_dtype, torch_device, device_map)
        return cls(model, tokenizer, name=str(name), path=path)

    def reinitialised(self: Loaded, seed: int) -> Loaded:
        """The same architecture and tokenizer with fresh random weights: what is in it that was never learned."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = type(self._model)(self._model.config)
        model.to(device=self.device, dtype=self.dtype)
        return type(self)(model, self.tokenizer, name=self.name, path=self.path)

    @property
    def device(self) -> torch.device:
        """Where the embedding lies, and with it the inputs."""
        return self._model.get_input_embeddings().weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights and of passes without gradients."""
        return self._model.dtype

    @property
    def parameter_bytes(self) -> int:
        """Memory of the weights; those that are shared count once."""
        return sum(parameter.nbytes for parameter in self._model.parameters())

    @property
    def end_of_text_ids(self) -> tuple[int, ...]:
        """The tokens after which the model writes no more, by its own settings."""
        found = self._model.generation_config.eos_token_id
        return () if found is None else (found,) if isinstance(found, int) else tuple(found)

    def width(self, site: Site) -> int:
        """Length of the activation vector at a site."""
        return self.d_mlp if site.kind == NEURONS else self.d_model

    def mlp_norm(self, layer: int) -> tuple[Float[Tensor, " d_model"], Float[Tensor, " d_model"]]:
        """Weight and bias of the norm before an MLP: `mlp_in` is weight times the normalised stream plus bias."""
        norm = self._model.get_submodule(f"{self.family.layers}.{layer}.{self.family.mlp_norm}")
        weight = norm.weight.detach().float() + self.family.stored_norm_offset
        bias = getattr(norm, "bias", None)
        return weight, torch.zeros_like(weight) if bias is None else bias.detach().float()

    def tokenise(self, text: str, *, chat: bool = False) -> Int[Tensor, " seq"]:
        """Token ids as the model is fed them, BOS included where the tokenizer has one.

        Args:
            text: The prompt.
            chat: Wrap the text as a user's turn in the tokenizer's chat template.

        Raises:
            ValueError: The text is blank or too long for the model, or there is no chat template.
        """
        return self._checked_ids(prompt_ids(self.tokenizer, text, chat=chat))

    def tokenise_conversation(self, turns: Sequence[Mapping[str, str]]) -> Int[Tensor, " seq"]:
        """Token ids of a conversation, up to where the model's next turn begins.

        Args:
            turns: Each with a `role`, such as `user` or `assistant`, and its `content`.

        Raises:
            ValueError: The conversation is too long for the model, or there is no chat template.
        """
        return self._checked_ids(templated_ids(self.tokenizer, conversation_text(self.tokenizer, turns)))

    def _checked_ids(self, ids: list[int]) -> Int[Tensor, " seq"]:
        self.check_length(len(ids), "the prompt")
        if max(ids) >= self.vocab_size:
            raise ValueError(
                f"the tokenizer gives id {max(ids)}, but model {self.name!r} has {self.vocab_size} tokens; "
                "use the tokenizer that the model was trained with"
            )
        return torch.tensor(ids)

    def batch(self, rows: Sequence[Int[Tensor, " _"]]) -> TokenBatch:
        """Rows of token ids, padded on the left to the longest, on the model's device.

        Raises:
            ValueError: There are no rows, or one is empty or too long for the model.
        """
        batch = TokenBatch.from_rows(rows, self.tokenizer.bos_token_id)
        self.check_length(batch.ids.shape[1], "the longest row")
        return batch.to(self.device)

    @torch.no_grad()
    def unembed(self, stream: Float[Tensor, "tokens d_model"]) -> Float[Tensor, "tokens vocab"]:
        """Logits of tokens from what leaves the last layer: for a few tokens at a time, where all would be too many."""
        unembedding = self._model.get_output_embeddings()
        stream = stream.to(unembedding.weight.device, self.dtype)
        logits = unembedding(self._model.get_submodule(self.family.final_norm)(stream))
        cap = getattr(self._model.config.get_text_config(), "final_logit_softcapping", None)
        return logits if cap is None else torch.tanh(logits / cap) * cap

    def check_length(self, n_tokens: int, what: str) -> None:
        """Make sure that `n_tokens` fit into the context.

        Raises:
            ValueError: They do not; `what` is the subject of the message.
        """
        if n_tokens > self.context_length:
            raise ValueError(
                f"{what} has {n_tokens} tokens, but model {self.name!r} takes at most {self.context_length}; shorten it"
            )
