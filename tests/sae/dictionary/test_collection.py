"""The SAEs of a command: found by site, checked against the host, refused with the names of what is there."""

import json

import pytest
from tiny_models import random_sae, random_transcoder, save_tiny_llama, tiny_llama

from sae.dictionary import collection, releases
from sae.dictionary.collection import load_saes
from sae.dictionary.formats.dictionary_learning import write_dictionary_learning
from sae.dictionary.host_record import fingerprint, host_record
from sae.host.host import HostModel
from sae.host.sites import Site


@pytest.fixture(scope="module")
def host():
    return tiny_llama()


@pytest.fixture
def directory(tmp_path):
    for name in ("resid_post.2", "mlp_out.1", "resid_post.0"):
        random_sae(site=Site.parse(name)).save(tmp_path / name)
    return tmp_path


def names(saes):
    return [str(site) for site in saes]


def test_a_directory_of_directories_gives_the_asked_sites_in_forward_order(directory, host):
    assert names(load_saes(directory, host=host)) == ["resid_post.0", "resid_post.2"]
    assert names(load_saes(directory, host=host, sites="*")) == ["resid_post.0", "mlp_out.1", "resid_post.2"]


def test_each_site_has_its_own_sae(directory, host):
    saes = load_saes(directory, host=host, sites="mlp_out.1")

    assert saes[Site("mlp_out", 1)].path == directory / "mlp_out.1"
    assert saes[Site("mlp_out", 1)].site == Site("mlp_out", 1)


def test_transcoders_stand_at_the_site_that_they_write_where_they_are_wanted(directory, host):
    random_transcoder(2, skip=True).save(directory / "transcoder")
    found = load_saes(directory, host=host, sites="mlp_out.*", transcoders=True)
    assert names(found) == ["mlp_out.1", "mlp_out.2"]
    assert [sae.input_site for sae in found.values()] == [None, Site("mlp_in", 2)]
    with pytest.raises(ValueError, match=r"transcoder is a transcoder from mlp_in\.2 to mlp_out\.2, expected an SAE"):
        load_saes(directory, host=host, sites="mlp_out.*")


def test_one_sae_directory_will_do(directory, host):
    assert names(load_saes(str(directory / "resid_post.2"), host=host)) == ["resid_post.2"]


def test_the_site_is_read_from_the_record_not_from_the_directory(directory, host):
    (directory / "resid_post.2").rename(directory / "my-best-one")

    assert names(load_saes(directory, host=host)) == ["resid_post.0", "resid_post.2"]


def test_without_our_record_the_hook_name_says_the_site(directory, host):
    file = directory / "resid_post.2" / "cfg.json"
    config = json.loads(file.read_text())
    del config["metadata"]["domain_circuits"]
    file.write_text(json.dumps(config))

    assert names(load_saes(directory / "resid_post.2", host=host)) == ["resid_post.2"]


def test_saes_of_another_library_are_found_too(directory, host):
    write_dictionary_learning(directory / "theirs", random_sae(site=Site("resid_post", 1)).stored())

    assert names(load_saes(directory, host=host)) == ["resid_post.0", "resid_post.1", "resid_post.2"]


def test_a_missing_site_is_refused_with_the_list_of_those_present(directory, host):
    with pytest.raises(ValueError, match=r"'resid_post\.1'; it has one at resid_post\.0, mlp_out\.1, resid_post\.2"):
        load_saes(directory, host=host, sites="resid_post.1")


def test_two_saes_at_one_site_are_refused(directory, host):
    random_sae(site=Site("resid_post", 2)).save(directory / "again")

    with pytest.raises(ValueError, match=r"again and .*resid_post\.2 are both at resid_post\.2; name one"):
        load_saes(directory, host=host)


def test_an_sae_without_a_site_is_refused(tmp_path, host):
    random_sae().save(tmp_path)

    with pytest.raises(ValueError, match="does not say its site"):
        load_saes(tmp_path, host=host)


def test_a_directory_without_saes_is_refused(tmp_path, host):
    with pytest.raises(ValueError, match="holds no SAE, expected"):
        load_saes(tmp_path, host=host)


def test_another_width_is_refused_with_both_numbers(tmp_path, host):
    random_sae(d_model=16, site=Site("resid_post", 0)).save(tmp_path)

    with pytest.raises(ValueError, match="has d_model 16 but host 'tiny' has d_model 32"):
        load_saes(tmp_path, host=host)


def test_a_layer_that_the_host_lacks_is_refused(tmp_path, host):
    random_sae(site=Site("resid_post", 20)).save(tmp_path)

    with pytest.raises(ValueError, match=r"are at resid_post\.20, but host 'tiny' has no such site"):
        load_saes(tmp_path, host=host)


@pytest.fixture(scope="module")
def two_hosts(tmp_path_factory):
    paths = [tmp_path_factory.mktemp("hosts") / name for name in ("first", "second")]
    return [HostModel.load(str(save_tiny_llama(path, seed=seed))) for seed, path in enumerate(paths)]


def test_a_recorded_host_is_compared_by_its_weights(two_hosts, tmp_path):
    first, second = two_hosts
    sae = random_sae(site=Site("resid_post", 0)).with_metadata({"domain_circuits": {"host": host_record(first)}})
    sae.save(tmp_path)

    assert names(load_saes(tmp_path, host=first)) == ["resid_post.0"]
    with pytest.raises(ValueError, match=r"was trained on host '.*first' \(.*\), not on '.*second'"):
        load_saes(tmp_path, host=second)


def test_a_fingerprint_does_not_depend_on_the_name(two_hosts, tmp_path):
    first, second = two_hosts
    save_tiny_llama(tmp_path / "copy", seed=0)

    assert fingerprint(tmp_path / "copy") == fingerprint(first.path) != fingerprint(second.path)
    assert fingerprint(tmp_path) is None


@pytest.fixture
def catalogue(monkeypatch):
    """A release with one SAE a site, one with two at a site, and no network."""
    ids = {
        "by-layer": ["blocks.0.hook_resid_post", "blocks.2.hook_resid_post"],
        "by-width": ["layer_0/width_16k", "layer_0/width_65k"],
    }
    monkeypatch.setattr(releases, "_saes_of", lambda release: ids[release])
    load = lambda release, sae_id: random_sae(site=releases.site_from_hook_name(sae_id))  # noqa: E731
    monkeypatch.setattr(collection, "load_pretrained", load)


def test_a_release_whose_ids_are_hook_names(catalogue, host):
    assert names(load_saes("by-layer", host=host)) == ["resid_post.0", "resid_post.2"]
    assert names(load_saes("by-layer:blocks.2.hook_resid_post", host=host)) == ["resid_post.2"]


def test_a_release_with_several_saes_a_site_needs_an_id(catalogue, host):
    with pytest.raises(ValueError, match="has 2 SAEs, not one a site; name one, as in by-width:layer_0/width_16k"):
        load_saes("by-width", host=host)


@pytest.mark.filterwarnings("ignore")
def test_an_unknown_release_is_refused(host):
    pytest.importorskip("sae_lens")

    with pytest.raises(ValueError, match="no SAE directory and no sae-lens release 'nothing'"):
        load_saes("nothing", host=host)
