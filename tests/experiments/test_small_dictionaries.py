"""Small dictionaries: of the recipe, kept, made again only for another recipe, refused for another host."""

from dataclasses import replace

import pytest
import torch
from tiny_models import save_tiny_llama

from experiments.small_dictionaries import SmallDictionaries, small_dictionaries
from sae.dictionary.collection import load_saes
from sae.host.host import HostModel

RECIPE = SmallDictionaries(
    "words in turn",
    sites="resid_post.1,resid_post.2",
    d_sae=24,
    l0=4.0,
    distinct_tokens=600,
    n_tokens=4000,
    batch_tokens=200,
)
TEXTS = [" ".join(f"w{(number * 7 + place * (1 + number % 3)) % 44}" for place in range(40)) for number in range(60)]


@pytest.fixture(scope="module")
def host(tiny_llama_path):
    return HostModel.load(str(tiny_llama_path), device="cpu")


@pytest.fixture
def trained(host, tmp_path):
    return small_dictionaries(host, TEXTS, RECIPE, tmp_path / "saes")


def test_there_is_one_at_every_site_and_it_can_be_given_as_saes(host, trained, tmp_path):
    assert [str(site) for site in trained] == ["resid_post.1", "resid_post.2"]
    loaded = load_saes(tmp_path / "saes", host=host)
    for site, sae in trained.items():
        assert sae.d_sae == RECIPE.d_sae
        assert torch.equal(loaded[site].W_dec, sae.W_dec)


def test_they_are_trained_once(host, trained, tmp_path):
    again = small_dictionaries(host, iter(()), RECIPE, tmp_path / "saes")
    for site, sae in trained.items():
        assert torch.equal(again[site].W_dec, sae.W_dec)


def test_another_recipe_trains_anew(host, trained, tmp_path):
    other = small_dictionaries(host, TEXTS, replace(RECIPE, d_sae=20), tmp_path / "saes")
    assert {sae.d_sae for sae in other.values()} == {20}
    assert not list(tmp_path.glob(".*"))


@pytest.mark.usefixtures("trained")
def test_another_hosts_dictionaries_are_refused(tmp_path, tmp_path_factory):
    other = HostModel.load(str(save_tiny_llama(tmp_path_factory.mktemp("models") / "other", seed=5)), device="cpu")
    with pytest.raises(ValueError, match="was trained on host"):
        small_dictionaries(other, TEXTS, RECIPE, tmp_path / "saes")


def test_without_text_nothing_is_trained(host, tmp_path):
    with pytest.raises(ValueError, match="no token to harvest"):
        small_dictionaries(host, [], RECIPE, tmp_path / "saes")
    assert not (tmp_path / "saes").exists()
