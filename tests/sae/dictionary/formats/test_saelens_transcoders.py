"""Transcoders of the real sae-lens: what it writes we read, what we write it reads, and the numbers are the same."""

import json

import pytest
import torch

from sae.dictionary.transcoder import Transcoder, load_dictionary
from sae.host.sites import Site

sae_lens = pytest.importorskip("sae_lens")
pytestmark = pytest.mark.filterwarnings("ignore")

HOOKS = {"hook_name": "blocks.3.mlp.hook_in", "hook_name_out": "blocks.3.hook_mlp_out"}
KINDS = ["Transcoder", "SkipTranscoder", "JumpReLUTranscoder", "JumpReLUSkipTranscoder"]


def saved(path, kind="Transcoder", *, d_out=8, **hooks):
    """A random transcoder of theirs, written by them."""
    metadata = sae_lens.saes.sae.SAEMetadata(model_name="m", **(HOOKS | hooks))
    sizes = {"d_in": 8, "d_out": d_out, "d_sae": 32}
    # their configurations are not all exported
    config = getattr(sae_lens.saes.transcoder, f"{kind}Config")(**sizes, metadata=metadata, apply_b_dec_to_input=False)
    theirs = getattr(sae_lens.saes.transcoder, kind)(config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
            if name == "threshold":
                parameter.abs_()
    theirs.save_model(path)
    return theirs


@pytest.mark.parametrize("kind", KINDS)
def test_reads_what_sae_lens_writes(kind, tmp_path, x):
    theirs = saved(tmp_path, kind)

    ours = load_dictionary(tmp_path)

    assert isinstance(ours, Transcoder)
    assert (ours.input_site, ours.site) == (Site("mlp_in", 3), Site("mlp_out", 3))
    feature_acts = theirs.encode(x)
    assert 0.02 < (feature_acts > 0).float().mean() < 0.9
    torch.testing.assert_close(ours.encode(x), feature_acts, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.reconstruct(ours.encode(x), x), theirs(x), rtol=1e-4, atol=1e-4)
    assert (ours.W_skip is not None) == ("Skip" in kind)


@pytest.mark.parametrize("kind", KINDS)
def test_sae_lens_reads_what_we_write(kind, tmp_path, x):
    saved(tmp_path / "theirs", kind)
    ours = load_dictionary(tmp_path / "theirs")
    ours.save(tmp_path / "ours", weight_dtype=torch.float32)

    again = sae_lens.SAE.load_from_disk(str(tmp_path / "ours"))

    torch.testing.assert_close(again(x), ours.reconstruct(ours.encode(x), x), rtol=1e-4, atol=1e-4)
    assert again.cfg.metadata.hook_name == HOOKS["hook_name"]
    assert again.cfg.metadata.hook_name_out == HOOKS["hook_name_out"]


@pytest.mark.parametrize(
    "hooks",
    [
        {"hook_name": "blocks.3.hook_mlp_in"},
        {"hook_name": "blocks.3.hook_resid_mid"},
        {"hook_name_out": "blocks.3.attn.hook_z"},
        {"hook_name": "blocks.4.mlp.hook_in"},
    ],
)
def test_hooks_that_are_no_two_sites_in_order_are_named(hooks, tmp_path):
    saved(tmp_path, **hooks)
    with pytest.raises(ValueError, match=r"is a transcoder from hook 'blocks.*' to 'blocks.*', expected two sites"):
        load_dictionary(tmp_path)


def test_two_widths_are_refused(tmp_path):
    saved(tmp_path, d_out=12)
    with pytest.raises(ValueError, match="is a transcoder from d_in 8 to d_out 12, expected one width"):
        load_dictionary(tmp_path)


def test_a_missing_skip_path_is_named(tmp_path):
    saved(tmp_path)
    config = json.loads((tmp_path / "cfg.json").read_text())
    (tmp_path / "cfg.json").write_text(json.dumps(config | {"architecture": "skip_transcoder"}))
    with pytest.raises(ValueError, match=r"hold .*, expected \['W_dec', 'W_enc', 'W_skip', 'b_dec', 'b_enc'\]"):
        load_dictionary(tmp_path)
