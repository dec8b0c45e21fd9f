"""A run's state on disk, from which it goes on bit for bit: one safetensors file, replaced whole or not at all."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sae.written_whole import written_whole

__all__ = ["Checkpoint", "ComponentState", "check_same_configuration"]

FORMAT = "domain-circuits training checkpoint 1"

ComponentState = Mapping[str, Tensor | float | int | str]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a run between two steps.

    Attributes:
        step: Steps done.
        configuration: What was asked for, by dictionary and setting; a run goes on with the same only.
        components: State of the token source and of each dictionary's trainer.
    """

    step: int
    configuration: Mapping[str, Mapping[str, Any]]
    components: Mapping[str, ComponentState]

    def save(self, path: Path) -> None:
        """Replace the file at `path`; whoever is killed meanwhile leaves the one before.

        Raises:
            ValueError: The file cannot be written, for instance because the disk is full.
        """
        tensors: dict[str, Tensor] = {}
        scalars: dict[str, dict[str, float | int | str]] = {}
        for component, state in self.components.items():
            scalars[component] = {}
            for name, value in state.items():
                if isinstance(value, Tensor):
                    tensors[f"{component}/{name}"] = value.detach().cpu().contiguous()
                else:
                    scalars[component][name] = value
        record = {"step": self.step, "configuration": self.configuration, "scalars": scalars}
        try:
            with written_whole(path) as part:
                save_file(tensors, part, metadata={"format": FORMAT, "record": json.dumps(record)})
        except (OSError, SafetensorError) as error:
            raise ValueError(f"the checkpoint {path} cannot be written ({error}); the one before is kept") from error

    @classmethod
    def load(cls, path: Path, *, device: torch.device | str = "cpu") -> "Checkpoint | None":
        """The state in a file, or None where there is none.

        Raises:
            ValueError: The file is damaged or no checkpoint.
        """
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt", device=str(device)) as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise ValueError(f"{path} is no checkpoint of this version; train afresh into another directory")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except (OSError, SafetensorError) as error:
            raise ValueError(f"the checkpoint {path} is damaged ({error}); delete it to train afresh") from error
        record = json.loads(metadata["record"])
        components: dict[str, dict[str, Any]] = record["scalars"]
        for full_name, tensor in tensors.items():
            component, _, name = full_name.partition("/")
            components[component][name] = tensor
        return cls(record["step"], record["configuration"], components)


def check_same_configuration(
    saved: Mapping[str, Mapping[str, Any]], present: Mapping[str, Mapping[str, Any]], *, source: str
) -> None:
    """Make sure that a run goes on as it began.

    Raises:
        ValueError: It does not; the line names the first setting that differs.
    """
    advice = "resume with the same options, or train into another directory"
    if saved.keys() != present.keys():
        raise ValueError(f"{source} trains {', '.join(saved)}, now asked for is {', '.join(present)}; {advice}")
    for name, settings in present.items():
        for setting in sorted(settings.keys() | saved[name].keys()):
            before, now = saved[name].get(setting), settings.get(setting)
            if before != now:
                raise ValueError(f"{setting} of {name} is {now!r}, but {source} was made with {before!r}; {advice}")
