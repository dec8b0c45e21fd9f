"""A conversation with a model whose steering changes as it goes on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from steering.directions import Feature
from steering.interventions import Intervention, SteeringSpec
from steering.parsing import parse_edit, parse_strength
from steering.positions import PromptTokens, read_prompt
from steering.results import SteeredRow
from steering.steered_host import SteeredHost

__all__ = ["ChatSession"]


@dataclass
class ChatSession:
    """Turns and edits so far. A model without a chat template continues each line by itself and remembers none.

    Attributes:
        steered: The model.
        spec: What is done to every answer.
        sampling: Arguments of `SteeredHost.generate`.
        positions: Where an edit acts that does not say.
        turns: Of the conversation.
    """

    steered: SteeredHost
    spec: SteeringSpec = field(default_factory=SteeringSpec)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    positions: str = "all"
    turns: list[dict[str, str]] = field(default_factory=list)

    @property
    def remembers(self) -> bool:
        """Whether the model has a chat template, and with it a memory of earlier turns."""
        return bool(self.steered.host.tokenizer.chat_template)

    def set(self, text: str) -> Intervention:
        """Set one edit, in the place of any other of the same feature.

        Args:
            text: `SITE/FEATURE VALUE[unit]`, which adds, or an edit as in `parse_edit`.

        Raises:
            ValueError: It cannot be read or cannot be carried out; the edits then stay as they were.
        """
        wanted = self._read_edit(text)
        others = tuple(each for each in self.spec.interventions if each.target != wanted.target)
        spec = SteeringSpec((*others, wanted))
        self.steered.dictionaries.prepare([spec])
        self.spec = spec
        return wanted

    def clear(self, text: str = "") -> None:
        """Drop every edit, or those of one feature `SITE/FEATURE`.

        Raises:
            ValueError: That feature is not edited.
        """
        kept: tuple[Intervention, ...] = ()
        if text:
            feature = Feature.parse(text)
            kept = tuple(each for each in self.spec.interventions if each.target != feature)
            if len(kept) == len(self.spec.interventions):
                raise ValueError(f"feature {feature.name} is not edited; /edits lists what is")
        self.spec = SteeringSpec(kept)

    def start_anew(self) -> None:
        """Forget the conversation; the edits stay."""
        self.turns.clear()

    def reply(self, text: str, *, streamer: Any = None) -> SteeredRow:
        """The model's next turn.

        Args:
            text: What the user says.
            streamer: Of transformers, given the new tokens as they come.

        Raises:
            ValueError: It is blank or does not fit into the context; the conversation then stays as it was.
        """
        turns = [*self.turns, {"role": "user", "content": text}]
        prompt = self._prompt(text, turns)
        [row] = self.steered.generate([prompt], [self.spec], streamer=streamer, **self.sampling)
        if self.remembers:
            self.turns = [*turns, {"role": "assistant", "content": row.text}]
        return row

    def _prompt(self, text: str, turns: list[dict[str, str]]) -> PromptTokens:
        prompt = read_prompt(self.steered.host, text, chat=self.remembers)
        return replace(prompt, ids=self.steered.host.tokenise_conversation(turns)) if self.remembers else prompt

    def _read_edit(self, text: str) -> Intervention:
        name, _, value = text.strip().partition(" ")
        if not value or ":" in name:
            return parse_edit(text, positions=self.positions)
        strength, unit = parse_strength(value)
        return Intervention(Feature.parse(name), "add", strength, unit, self.positions)
