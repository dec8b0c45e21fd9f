import pytest
import torch
from tiny_models import random_sae, tiny_llama_model, tiny_tokenizer

from sae.host.host import HostModel
from sae.host.sites import Site, all_sites
from sae.host.splice import SplicedHost

SITES = all_sites(3)
MIDDLE = Site("resid_post", 1)


def unchanged(feature_acts, error):
    return feature_acts, error


def ablate(feature):
    def edit(feature_acts, error):
        feature_acts[..., feature] = 0
        return feature_acts, error

    return edit


@pytest.fixture(scope="module")
def spliced(tiny_host):
    return SplicedHost(tiny_host, {site: random_sae(site=site, seed=seed) for seed, site in enumerate(SITES)})


@pytest.fixture(scope="module")
def batch(tiny_host):
    return tiny_host.batch([tiny_host.tokenise("w1 w2 w3"), tiny_host.tokenise("w4 w5 w6 w7 w8 w9")])


def test_without_edits_the_logits_are_bit_equal_to_the_plain_model(spliced, tiny_host, batch):
    assert torch.equal(spliced.forward(batch), tiny_host.forward(batch).logits)


def test_splicing_at_every_site_changes_no_bit(spliced, tiny_host, batch):
    edits = dict.fromkeys(SITES, unchanged)
    assert torch.equal(spliced.forward(batch, edits), tiny_host.forward(batch).logits)


def test_splicing_a_bfloat16_model_changes_no_bit(batch):
    host = HostModel(tiny_llama_model().bfloat16(), tiny_tokenizer(), name="tiny")
    spliced = SplicedHost(host, {MIDDLE: random_sae()})
    assert torch.equal(spliced.forward(batch, {MIDDLE: unchanged}), host.forward(batch).logits)


def test_features_and_errors_add_up_to_the_activations_at_nodes(spliced, tiny_host, batch):
    captured = tiny_host.capture(batch, SITES)
    features, errors = spliced.features(batch), spliced.errors(batch)
    assert list(features) == list(errors) == list(SITES)
    for site in SITES:
        reconstruction = spliced.saes[site].decode_sparse(features[site]).view(2, 7, 32)
        found = (reconstruction + errors[site])[batch.node_mask]
        torch.testing.assert_close(found, captured[site][batch.node_mask], atol=1e-5, rtol=1e-5)


def test_features_are_those_of_the_encoder_and_none_where_no_node_sits(spliced, tiny_host, batch):
    x = tiny_host.capture(batch, [MIDDLE])[MIDDLE]
    dense = spliced.features(batch)[MIDDLE].to_dense().view(2, 7, 64)
    expected = spliced.saes[MIDDLE].encode(x)
    torch.testing.assert_close(dense[batch.node_mask], expected[batch.node_mask])
    assert expected[~batch.node_mask].any()
    assert not dense[~batch.node_mask].any()
    assert not spliced.errors(batch)[MIDDLE][~batch.node_mask].any()


def test_ablating_one_feature_takes_its_decoder_row_out_of_the_stream(spliced, tiny_host, batch):
    sae = spliced.saes[MIDDLE]
    x = tiny_host.capture(batch, [MIDDLE])[MIDDLE]
    acts = sae.encode(x)
    feature = int((acts * batch.node_mask[..., None]).sum((0, 1)).argmax())
    without = x - (acts[..., feature] * batch.node_mask)[..., None] * sae.W_dec[feature]
    expected = tiny_host.forward(batch, {MIDDLE: lambda _: without}).logits
    found = spliced.forward(batch, {MIDDLE: ablate(feature)})
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found, tiny_host.forward(batch).logits, atol=1e-3)


def test_ablating_an_inactive_feature_changes_no_bit(tiny_host, batch):
    sae = random_sae()
    sae.threshold[3] = 1e9
    spliced = SplicedHost(tiny_host, {MIDDLE: sae})
    assert torch.equal(spliced.forward(batch, {MIDDLE: ablate(3)}), tiny_host.forward(batch).logits)


def test_rows_that_are_not_edited_keep_every_bit(spliced, tiny_host, batch):
    def only_the_second_row(feature_acts, error):
        feature_acts[1] = 0
        return feature_acts, error

    found = spliced.forward(batch, dict.fromkeys(SITES, only_the_second_row))
    plain = tiny_host.forward(batch).logits
    assert torch.equal(found[0], plain[0])
    assert not torch.allclose(found[1], plain[1], atol=1e-3)


def test_bos_and_padding_are_never_edited(spliced, tiny_host, batch):
    seen = {}

    def everything_to_zero(feature_acts, error):
        return torch.zeros_like(feature_acts), torch.zeros_like(error)

    edits = spliced._host_edits(batch, {MIDDLE: everything_to_zero})
    run = tiny_host.forward(batch, edits, capture=[MIDDLE])
    seen = run.activations[MIDDLE]
    before = tiny_host.capture(batch, [MIDDLE])[MIDDLE]
    assert torch.equal(seen[~batch.node_mask], before[~batch.node_mask])
    b_dec = spliced.saes[MIDDLE].b_dec.expand(9, 32)
    torch.testing.assert_close(seen[batch.node_mask], b_dec, atol=1e-5, rtol=1e-5)


def test_an_edit_sees_the_features_of_the_already_edited_stream(spliced, batch):
    after = Site("resid_post", 2)
    seen = []
    edits = {
        after: lambda feature_acts, error: seen.append(feature_acts.clone()) or (feature_acts, error),
        MIDDLE: lambda feature_acts, error: (0 * feature_acts, error),
    }
    spliced.forward(batch, edits)
    clean = spliced.features(batch)[after].to_dense().view(2, 7, 64)
    assert not torch.allclose(seen[0][batch.node_mask], clean[batch.node_mask], atol=1e-3)


def test_errors_can_be_edited(spliced, tiny_host, batch):
    error = spliced.errors(batch)[MIDDLE]
    expected = tiny_host.forward(batch, {MIDDLE: lambda x: x + error}).logits
    found = spliced.forward(batch, {MIDDLE: lambda acts, error: (acts, 2 * error)})
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)


def test_reconstruct_puts_decode_of_encode_in_the_place_of_every_node(spliced, tiny_host, batch):
    def reconstruction(sae):
        return lambda x: torch.where(batch.node_mask[..., None], sae.decode(sae.encode(x)), x)

    expected = tiny_host.forward(batch, {site: reconstruction(sae) for site, sae in spliced.saes.items()}).logits
    torch.testing.assert_close(spliced.reconstruct(batch), expected, atol=1e-4, rtol=1e-4)


def test_only_the_last_logits_are_kept_on_demand(spliced, batch):
    kept = spliced.reconstruct(batch, logits_to_keep=1)
    assert kept.shape == (2, 1, 48)
    torch.testing.assert_close(kept, spliced.reconstruct(batch)[:, -1:], atol=1e-5, rtol=1e-5)


def test_generation_with_splices_and_no_change_gives_the_models_text(spliced, tiny_host, batch):
    ids = spliced.generate(batch, dict.fromkeys(SITES, unchanged), max_new_tokens=6)
    assert torch.equal(ids, tiny_host.generate(batch, max_new_tokens=6))


@pytest.mark.parametrize("prompt", ["w1 w2 w3", None])
def test_generation_edits_new_tokens_but_not_bos(spliced, tiny_host, prompt):
    """Compared with one whole forward pass a token; the prompt without words is BOS alone."""
    row = torch.tensor([1]) if prompt is None else tiny_host.tokenise(prompt)
    edits = {MIDDLE: lambda acts, error: (3 * acts, error)}
    expected = row
    for _ in range(6):
        logits = spliced.forward(tiny_host.batch([expected]), edits)
        expected = torch.cat([expected, logits[0, -1].argmax()[None]])
    found = spliced.generate(tiny_host.batch([row]), edits, max_new_tokens=6)
    assert torch.equal(found[0], expected)


def test_generation_can_draw(spliced, batch):
    options = {"max_new_tokens": 5, "do_sample": True, "temperature": 2.0, "seed": 1}
    edits = {MIDDLE: unchanged}
    assert torch.equal(spliced.generate(batch, edits, **options), spliced.generate(batch, edits, **options))


def test_a_site_without_a_dictionary_cannot_be_edited(tiny_host, batch):
    spliced = SplicedHost(tiny_host, {MIDDLE: random_sae()})
    message = r"cannot edit features at mlp_out.0: no SAE there, only at resid_post.1"
    with pytest.raises(ValueError, match=message):
        spliced.forward(batch, {Site("mlp_out", 0): unchanged})


def test_a_dictionary_of_another_width_is_refused(tiny_host):
    with pytest.raises(ValueError, match=r"the SAE at resid_post.1 has d_model 16, but model 'tiny' has 32"):
        SplicedHost(tiny_host, {MIDDLE: random_sae(d_model=16)})


def test_a_site_that_the_model_lacks_is_refused(tiny_host):
    with pytest.raises(ValueError, match=r"model 'tiny' has no site resid_post.3, its last is resid_post.2"):
        SplicedHost(tiny_host, {Site("resid_post", 3): random_sae()})
