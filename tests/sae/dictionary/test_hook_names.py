"""Hook names: a site survives both spellings, and foreign places are recognised or refused."""

import pytest

from sae.dictionary.hook_names import hf_hook_name, hook_name, site_from_hook_name
from sae.host.sites import Site, all_sites


@pytest.mark.parametrize("site", all_sites(12), ids=str)
def test_both_names_read_back_as_the_same_site(site):
    assert site_from_hook_name(hook_name(site)) == site
    assert site_from_hook_name(hf_hook_name(site)) == site


def test_the_names_are_those_of_the_field():
    assert hook_name(Site("resid_post", 3)) == "blocks.3.hook_resid_post"
    assert hf_hook_name(Site("mlp_out", 3)) == "model.layers.3.mlp"


@pytest.mark.parametrize(("layer", "site"), [(5, "resid_post.4"), (0, "embed")])
def test_the_stream_before_a_block_is_the_stream_after_the_one_before(layer, site):
    assert site_from_hook_name(f"blocks.{layer}.hook_resid_pre") == Site.parse(site)


@pytest.mark.parametrize(
    ("name", "site"),
    [("gpt_neox.layers.2.attention", "attn_out.2"), ("gpt_neox.layers.2", "resid_post.2")],
)
def test_the_modules_of_other_layouts_are_known(name, site):
    assert site_from_hook_name(name) == Site.parse(site)


def test_a_module_that_means_other_places_in_other_families_is_no_site():
    assert site_from_hook_name("model.layers.3.post_attention_layernorm") is None


@pytest.mark.parametrize("name", ["", "blocks.3.attn.hook_z", "blocks.3.hook_resid_mid", "model.norm"])
def test_other_places_are_no_site(name):
    assert site_from_hook_name(name) is None
