"""Fixtures that several tests share."""

import os
from pathlib import Path

import pytest
import torch

# Read when triton is first imported, which the imports below do where it is installed.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

from stories import STORIES, train_small_saes
from tiny_models import save_tiny_llama, tiny_llama

from experiments.stories.llama2c import convert_stories
from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.host.sites import Site

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_host() -> HostModel:
    """A random Llama of three layers, in memory."""
    return tiny_llama()


@pytest.fixture(scope="session")
def tiny_llama_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model as a transformers directory."""
    return save_tiny_llama(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def stories_host(tmp_path_factory: pytest.TempPathFactory) -> HostModel:
    """A real small Llama that writes children's stories."""
    if not STORIES.is_dir():
        pytest.skip(f"the weights of stories260K are not at {STORIES}")
    return HostModel.load(str(convert_stories(STORIES, tmp_path_factory.mktemp("models") / "stories")))


@pytest.fixture(scope="session")
def stories_saes(stories_host: HostModel) -> dict[Site, SAE]:
    """SAEs of that model at three layers; training them takes the better part of a minute."""
    return train_small_saes(stories_host)
