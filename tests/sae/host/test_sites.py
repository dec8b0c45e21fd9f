import random

import pytest

from sae.host.sites import FAMILIES, Site, all_sites, family_of, match_sites, parent_sites

LLAMA = FAMILIES["llama"]
PARALLEL = FAMILIES["gpt_neox"]


def sites(text: str) -> list[Site]:
    return [Site.parse(name) for name in text.split()]


@pytest.mark.parametrize("text", ["embed", "attn_out.0", "mlp_out.12", "resid_post.3"])
def test_a_site_reads_what_it_writes(text):
    assert str(Site.parse(text)) == text


def test_sites_sort_by_forward_depth():
    expected = sites("embed attn_out.0 mlp_out.0 resid_post.0 attn_out.1 mlp_out.1 resid_post.1")
    shuffled = random.Random(0).sample(expected, len(expected))
    assert sorted(shuffled) == expected == list(all_sites(2))


def test_a_site_can_be_a_key():
    assert {Site("mlp_out", 1): "here"}[Site.parse("mlp_out.1")] == "here"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "resid_pre.1",
            "unknown site kind 'resid_pre', expected one of embed, attn_out, mlp_in, mlp_neurons, mlp_out, resid_post",
        ),
        ("mlp_out", "needs a layer from 0, got None; write 'mlp_out.0'"),
        ("embed.0", "site 'embed' has no layer, got layer 0"),
        ("resid_post.-1", "cannot read site 'resid_post.-1', expected 'embed' or one such as 'resid_post.3'"),
        ("", "cannot read site ''"),
    ],
)
def test_what_is_no_site_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        Site.parse(text)


def test_a_negative_layer_is_refused():
    with pytest.raises(ValueError, match="needs a layer from 0, got -1"):
        Site("mlp_out", -1)


def test_globs_select_in_forward_order_and_once():
    found = match_sites("resid_post.*, mlp_out.1, resid_post.0", all_sites(2))
    assert found == sites("resid_post.0 mlp_out.1 resid_post.1")


def test_a_glob_can_select_everything():
    assert match_sites("*", all_sites(2)) == list(all_sites(2))


@pytest.mark.parametrize("patterns", ["resid_post.7", "resid_post.*,nonsense", "", "resid_post.0,"])
def test_a_pattern_that_selects_nothing_is_named(patterns):
    pattern = patterns.split(",")[-1]
    with pytest.raises(ValueError, match=f"no site matches '{pattern}', expected names or globs of embed, attn_out.0"):
        match_sites(patterns, all_sites(2))


def test_a_long_list_of_sites_is_cut_in_the_message():
    with pytest.raises(ValueError, match=r"resid_post.2, attn_out.3, \.\.\., resid_post.27$"):
        match_sites("nonsense", all_sites(28))


@pytest.mark.parametrize(
    ("site", "among", "expected"),
    [
        ("embed", "embed attn_out.0", ""),
        ("attn_out.0", "embed attn_out.0", "embed"),
        ("mlp_out.1", "embed attn_out.1 resid_post.0 mlp_out.1", "resid_post.0 attn_out.1"),
        ("resid_post.1", "resid_post.0 attn_out.1 mlp_out.1", "resid_post.0 attn_out.1 mlp_out.1"),
        ("resid_post.2", "resid_post.0 resid_post.1 resid_post.2", "resid_post.1"),
        ("resid_post.2", "resid_post.0", "resid_post.0"),
        ("mlp_out.2", "mlp_out.0 mlp_out.1 mlp_out.2", "mlp_out.0 mlp_out.1"),
        ("attn_out.0", "mlp_out.0 resid_post.2", ""),
        ("mlp_in.1", "resid_post.0 attn_out.1 mlp_out.1", "resid_post.0 attn_out.1"),
        ("mlp_out.1", "resid_post.0 mlp_in.1", "mlp_in.1"),
        ("mlp_neurons.0", "embed attn_out.0", "embed attn_out.0"),
    ],
)
def test_parents_are_the_sites_with_a_path_that_no_other_site_cuts(site, among, expected):
    assert parent_sites(Site.parse(site), sites(among), LLAMA) == sites(expected)


def test_with_parallel_attention_the_mlp_does_not_read_attention():
    among = sites("embed attn_out.0 mlp_out.0")
    assert parent_sites(Site("mlp_out", 0), among, PARALLEL) == sites("embed")
    assert parent_sites(Site("mlp_in", 0), among, PARALLEL) == sites("embed")
    assert parent_sites(Site("resid_post", 0), among, PARALLEL) == among


def test_an_unknown_family_is_named_with_those_known():
    known = "llama, qwen2, qwen3, gemma2, gemma3_text, gemma3, gpt_neox"
    with pytest.raises(ValueError, match=f"model family 'gpt2' is not supported, only: {known}$"):
        family_of("gpt2")
