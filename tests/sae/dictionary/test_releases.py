"""Pretrained SAEs: what sae-lens hands over is the same dictionary here."""

import pytest
import torch

from sae.dictionary.releases import load_pretrained, release_sites
from sae.host.sites import Site

sae_lens = pytest.importorskip("sae_lens")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def theirs(monkeypatch):
    """A random ReLU SAE with an input bias, in place of a download."""
    metadata = sae_lens.saes.sae.SAEMetadata(model_name="gpt2-small", hook_name="blocks.8.hook_resid_pre")
    sae = sae_lens.StandardSAE(
        sae_lens.StandardSAEConfig(d_in=8, d_sae=16, apply_b_dec_to_input=True, metadata=metadata)
    )
    with torch.no_grad():
        sae.b_dec.normal_()
        sae.b_enc.normal_()
    monkeypatch.setattr(sae_lens.SAE, "from_pretrained", lambda release, sae_id: sae)
    return sae


def test_a_pretrained_sae_encodes_as_sae_lens_does(theirs):
    ours = load_pretrained("gpt2-small-res-jb", "blocks.8.hook_resid_pre")
    x = torch.randn(20, 8)

    assert ours.site == Site("resid_post", 7)
    torch.testing.assert_close(ours.encode(x), theirs.encode(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.decode(ours.encode(x)), theirs(x), rtol=1e-4, atol=1e-5)


def test_a_pretrained_sae_can_be_saved_and_read_by_both(theirs, tmp_path):
    ours = load_pretrained("gpt2-small-res-jb", "blocks.8.hook_resid_pre")
    x = torch.randn(20, 8)

    ours.save(tmp_path, weight_dtype=torch.float32)

    torch.testing.assert_close(sae_lens.SAE.load_from_disk(str(tmp_path)).encode(x), ours.encode(x))


def test_the_catalogue_gives_the_sites_of_a_release():
    sites = release_sites("gpt2-small-res-jb")

    assert sites[Site("embed", None)] == "blocks.0.hook_resid_pre"
    assert sites[Site("resid_post", 7)] == "blocks.8.hook_resid_pre"


def test_what_cannot_be_downloaded_is_one_line(monkeypatch):
    def fail(release, sae_id):
        raise RuntimeError("no route to host\nand much more")

    monkeypatch.setattr(sae_lens.SAE, "from_pretrained", fail)

    with pytest.raises(ValueError, match=r"cannot load the SAE r:i: no route to host$"):
        load_pretrained("r", "i")
