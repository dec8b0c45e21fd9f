import json

import pytest

from sae import bundle
from sae.bundle import Bundle, bundled_names, find_bundle, write_manifest


@pytest.fixture
def clinic(tmp_path, monkeypatch) -> Bundle:
    monkeypatch.setattr(bundle, "BUNDLES", tmp_path)
    root = tmp_path / "clinic"
    for name in (
        "host/config.json",
        "host-broad/config.json",
        "clinical/resid_post.1/cfg.json",
        "broad/resid_post.1/cfg.json",
        "labels.json",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    write_manifest(root)
    return Bundle("clinic", root)


def test_a_bundle_is_found_by_name(clinic):
    assert bundled_names() == ["clinic"]
    assert find_bundle("clinic") == clinic
    assert find_bundle("clinical") is None
    assert find_bundle("../clinic") is None


def test_without_a_manifest_it_is_no_bundle(clinic, tmp_path):
    (tmp_path / "half-built").mkdir()
    assert bundled_names() == ["clinic"]


def test_without_bundles_nothing_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "BUNDLES", tmp_path / "missing")
    assert bundled_names() == []
    assert find_bundle("clinic") is None


def test_a_bundle_knows_its_host_and_its_saes(clinic):
    assert clinic.host == clinic.path / "host"
    assert clinic.saes() == clinic.path / "clinical"
    assert clinic.saes("broad") == clinic.path / "broad"


def test_saes_of_another_text_are_refused(clinic):
    with pytest.raises(ValueError, match="bundle 'clinic' has no SAEs from 'legal' text, only from: broad, clinical"):
        clinic.saes("legal")


def test_the_manifest_lists_every_file_with_its_size_and_hash(clinic):
    files = json.loads((clinic.path / "manifest.json").read_text())["files"]
    assert sorted(files) == [
        "broad/resid_post.1/cfg.json",
        "clinical/resid_post.1/cfg.json",
        "host-broad/config.json",
        "host/config.json",
        "labels.json",
    ]
    assert files["labels.json"] == {
        "sha256": "b123d2c124154fa0b6bcbc189664f66ba2f6feb4d62a98d4c0fd12445bb6ef4a",
        "bytes": len("labels.json"),
    }


def test_the_manifest_can_be_written_again(clinic):
    before = (clinic.path / "manifest.json").read_bytes()
    write_manifest(clinic.path)
    assert (clinic.path / "manifest.json").read_bytes() == before
    assert sorted(path.name for path in clinic.path.iterdir() if path.is_file()) == ["labels.json", "manifest.json"]


def test_intact_files_pass(clinic):
    clinic.check()
    clinic.check("host")
    clinic.check("clinical/resid_post.1")
    clinic.check("labels.json")


def test_a_truncated_file_is_named_with_both_sizes(clinic):
    (clinic.host / "config.json").write_text("host")
    message = "bundled file clinic/host/config.json is truncated: 4 bytes, expected 16; reinstall domain-circuits"
    with pytest.raises(ValueError, match=message):
        clinic.check("host")


def test_an_altered_file_is_named(clinic):
    (clinic.path / "labels.json").write_text("LABELS.json")
    with pytest.raises(ValueError, match=r"bundled file clinic/labels.json is altered.*reinstall domain-circuits"):
        clinic.check("labels.json")


def test_a_missing_file_is_named(clinic):
    (clinic.host / "config.json").unlink()
    with pytest.raises(ValueError, match=r"bundled file clinic/host/config.json is missing; reinstall"):
        clinic.check()


def test_only_the_files_in_use_are_checked(clinic):
    (clinic.path / "host-broad" / "config.json").unlink()
    clinic.check("host")
    with pytest.raises(ValueError, match=r"host-broad/config.json is missing"):
        clinic.check("host-broad")


def test_what_the_manifest_does_not_list_is_refused(clinic):
    with pytest.raises(ValueError, match="bundle 'clinic' lists no file 'nonsense'; reinstall"):
        clinic.check("nonsense")


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', "{}"])
def test_a_damaged_manifest_is_named(clinic, text):
    (clinic.path / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=r"bundle 'clinic' has no readable manifest.json; reinstall"):
        clinic.check()
