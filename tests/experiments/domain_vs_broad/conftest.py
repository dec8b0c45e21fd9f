"""A tiny matrix that the tests of the comparison share."""

import json
import random
import shutil

import pytest
from tiny_models import save_tiny_llama

from experiments.domain_vs_broad.measures.measuring import measure_matrix
from experiments.domain_vs_broad.measures.settings import MeasureSettings
from experiments.domain_vs_broad.profiles import Profile
from experiments.domain_vs_broad.running import Matrix, run_matrix

WORDS = {"domain": range(22), "broad": range(22, 44)}


@pytest.fixture(scope="session")
def profile(tmp_path_factory) -> Profile:
    """One host, two texts of different words."""
    directory = tmp_path_factory.mktemp("matrix")
    for text, words in WORDS.items():
        with (directory / f"{text}.jsonl").open("w") as file:
            for number in range(2600):
                chosen = [f"w{word}" for word in random.Random(number).choices(words, k=15)]
                file.write(json.dumps({"text": " ".join(chosen)}) + "\n")
    return Profile(
        name="tiny",
        hosts=(("after", str(save_tiny_llama(directory / "host"))),),
        site="resid_post.1",
        domain=str(directory / "domain.jsonl"),
        broad=str(directory / "broad.jsonl"),
        d_sae=64,
        l0=(3.0, 6.0, 12.0),
        n_tokens=8192,
        harvested=4000,
        seeds=(0,),
        evaluated=400,
        context=32,
        arms=("domain", "broad", "fine-tuned"),
        measured=MeasureSettings(tokens=1700, features=4, examples=10, explaining=5),
    )


@pytest.fixture(scope="session")
def matrix(profile, tmp_path_factory) -> Matrix:
    return run_matrix(profile, tmp_path_factory.mktemp("work"), device="cpu")


@pytest.fixture(scope="session")
def measured(matrix, profile, tmp_path_factory) -> Matrix:
    """A copy of the matrix whose features were measured."""
    directory = tmp_path_factory.mktemp("measured") / "work"
    shutil.copytree(matrix.directory, directory)
    found = Matrix(profile, directory)
    measure_matrix(found, device="cpu")
    return found
