"""From what the user calls a model to a directory on this machine, and from there to a transformers model.

Every way in which this can fail is one line that names what was given and what would do.
"""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sae.bundle import bundled_names, find_bundle
from sae.host.sites import Family, family_of

__all__ = [
    "load_model",
    "load_tokenizer",
    "locate_model",
    "progress_only_for_terminals",
    "resolve_device",
    "resolve_dtype",
]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
CONFIG_FILES = ["*.json"]
MODEL_FILES = ["*.json", "*.safetensors", "*.model", "*.jinja"]
# some publishers keep a second copy of the weights there
OTHER_COPIES = ["original/*"]


def resolve_dtype(name: str) -> torch.dtype:
    """The torch dtype of that name.

    Raises:
        ValueError: It is not one that models run in here.
    """
    if name not in DTYPES:
        raise ValueError(f"unknown dtype {name!r}, expected one of: {', '.join(DTYPES)}")
    return DTYPES[name]


def resolve_device(name: str) -> torch.device:
    """The device of that name; `auto` is the GPU where there is one.

    Raises:
        ValueError: The name is no device, or this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    match = re.fullmatch(r"(cpu|cuda|mps)(?::(\d+))?", name)
    if match is None:
        raise ValueError(f"unknown device {name!r}, expected one of: auto, cpu, cuda, cuda:N, mps")
    count = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }[match[1]]
    if int(match[2] or 0) >= count:
        found = f"torch finds {count} {match[1]} devices"
        raise ValueError(f"device {name!r} is not available: {found}; use 'auto' or 'cpu'")
    return torch.device(name)


def locate_model(name: str) -> Path:
    """The directory that holds the model a user means, downloaded if it must be.

    Args:
        name: A bundled name, a directory, or a Hugging Face id, looked up in this order.

    Raises:
        ValueError: There is no such model, its files are damaged or incomplete, its family is not supported,
            or it cannot be downloaded.
    """
    bundle = find_bundle(name)
    if bundle is not None:
        bundle.check("host")
        return _checked(bundle.host, name)
    path = Path(name).expanduser()
    if path.is_dir():
        return _checked(path, name)
    if path.exists():
        raise ValueError(f"model {name!r} is a file, expected the directory with config.json and the weights")
    if HUB_ID.fullmatch(name) is None:
        raise ValueError(
            f"unknown model {name!r}: neither bundled ({_bundled()}) nor a directory, "
            "nor a Hugging Face id of the form 'org/name'"
        )
    _family(_download(name, CONFIG_FILES), name)
    return _checked(_download(name, MODEL_FILES), name)


def load_tokenizer(path: Path) -> Any:
    """The tokenizer in a model directory.

    Raises:
        ValueError: There is none, or it cannot be read.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(path, local_files_only=True)
    except Exception as error:
        raise ValueError(f"cannot load a tokenizer from {str(path)!r}: {_first_line(error)}") from error


def load_model(path: Path, dtype: torch.dtype, device: torch.device, device_map: Any = None) -> Any:
    """The causal language model in a model directory, with all its weights.

    Args:
        path: Directory with `config.json` and safetensors weights.
        dtype: What to hold the weights in.
        device: Where to put them, unless `device_map` says it.
        device_map: As in accelerate: `auto`, or a mapping from module paths to devices.

    Raises:
        ValueError: The weights are missing, damaged, or not those of the configuration.
    """
    from transformers import AutoModelForCausalLM

    family = _family(path, str(path))
    try:
        with progress_only_for_terminals():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                path,
                dtype=dtype,
                device_map=device_map,
                attn_implementation=family.attn_implementation,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
    except Exception as error:
        raise ValueError(f"cannot load the weights in {str(path)!r}: {_first_line(error)}") from error
    model, report = loaded
    if report["missing_keys"]:
        first = sorted(report["missing_keys"])[0]
        count = len(report["missing_keys"])
        raise ValueError(f"the weights in {str(path)!r} lack {count} tensors, {first} among them; copy them again")
    return model if device_map is not None else model.to(device)


def _checked(path: Path, name: str) -> Path:
    """The directory, once it is known to hold a model of a supported family."""
    if not (path / "config.json").is_file():
        raise ValueError(f"directory {str(path)!r} holds no model: config.json is missing")
    _family(path, name)
    if not any(path.glob("*.safetensors")):
        raise ValueError(f"directory {str(path)!r} holds no weights, expected model.safetensors or its shards")
    return path


def _family(path: Path, name: str) -> Family:
    """The family that the configuration in a model directory names."""
    try:
        model_type = json.loads((path / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(f"config.json of model {name!r} is damaged, expected JSON with a model_type") from None
    try:
        return family_of(model_type)
    except ValueError as error:
        raise ValueError(f"cannot use model {name!r}: {error}") from None


def _download(name: str, patterns: list[str]) -> Path:
    """A snapshot of a Hugging Face model, from the cache where the network is off."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    local = "give a local directory, or a bundled name"
    try:
        return Path(snapshot_download(name, allow_patterns=patterns, ignore_patterns=OTHER_COPIES))
    except GatedRepoError:
        raise ValueError(
            f"cannot download {name!r}: it is gated; accept its licence on huggingface.co and log in with "
            f"'hf auth login', or give a local directory"
        ) from None
    except RepositoryNotFoundError:
        raise ValueError(
            f"unknown model {name!r}: neither bundled ({_bundled()}) nor a directory, nor on huggingface.co"
        ) from None
    except (LocalEntryNotFoundError, ConnectionError):
        reason = "no network (HF_HUB_OFFLINE is set)" if constants.HF_HUB_OFFLINE else "no network"
        raise ValueError(f"cannot download {name!r}: {reason}, and it is not in the cache; {local}") from None
    except (HfHubHTTPError, OSError) as error:
        raise ValueError(f"cannot download {name!r}: {_first_line(error)}; {local}") from error


def _bundled() -> str:
    return ", ".join(bundled_names()) or "none installed"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def progress_only_for_terminals() -> Iterator[None]:
    """Silence transformers' bars for reading and writing weights where stderr is not a terminal."""
    from transformers.utils import logging

    hide = not sys.stderr.isatty() and logging.is_progress_bar_enabled()
    if hide:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if hide:
            logging.enable_progress_bar()
