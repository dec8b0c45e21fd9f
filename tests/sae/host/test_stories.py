import torch
from tiny_models import random_sae

from sae.host.sites import match_sites
from sae.host.splice import SplicedHost

OPENING = "Once upon a time, there was a little girl named Lily."


def test_the_model_writes_the_story_it_is_known_for(stories_host):
    bos = torch.tensor([stories_host.tokenizer.bos_token_id])
    ids = stories_host.generate(stories_host.batch([bos]), max_new_tokens=40)
    assert stories_host.tokenizer.decode(ids[0], skip_special_tokens=True).startswith(OPENING)


def test_the_tokenizer_reads_what_the_model_writes(stories_host):
    ids = stories_host.tokenise(OPENING)
    assert stories_host.tokenizer.convert_ids_to_tokens(ids[:4].tolist()) == ["<s>", " Once", " upon", " a"]
    assert stories_host.tokenizer.decode(ids, skip_special_tokens=True) == OPENING


def test_splicing_dictionaries_into_every_layer_changes_no_bit(stories_host):
    sites = match_sites("resid_post.*", stories_host.sites)
    saes = {site: random_sae(64, 256, site, seed) for seed, site in enumerate(sites)}
    spliced = SplicedHost(stories_host, saes)
    batch = stories_host.batch([stories_host.tokenise(text) for text in (OPENING, "Tom had a big red ball")])
    assert len(sites) == 5
    assert all(features.values.numel() > 0 for features in spliced.features(batch).values())
    logits = spliced.forward(batch, dict.fromkeys(saes, lambda feature_acts, error: (feature_acts, error)))
    assert torch.equal(logits, stories_host.forward(batch).logits)


def test_random_dictionaries_do_not_reconstruct_the_story(stories_host):
    sites = match_sites("resid_post.*", stories_host.sites)
    spliced = SplicedHost(stories_host, {site: random_sae(64, 256, site) for site in sites})
    batch = stories_host.batch([stories_host.tokenise("Once upon a time, there was a")])
    plain = stories_host.forward(batch, logits_to_keep=1).logits.argmax()
    assert spliced.reconstruct(batch, logits_to_keep=1).argmax() != plain
