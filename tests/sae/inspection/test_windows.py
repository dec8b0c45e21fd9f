"""Which windows are kept, and what is in them."""

import torch
from tiny_models import random_sae

from sae.host.sites import Site
from sae.inspection import encoded_batches as module
from sae.inspection.encoded_batches import encoded_batches
from sae.inspection.windows import NO_TOKEN, WindowCollector, WindowShape, best_of_each_group

SITE = Site("resid_post", 1)
TEXTS = [" ".join(f"w{(7 * row + 3 * step) % 44}" for step in range(3 + row % 9)) for row in range(30)]


def test_the_best_of_each_group_by_hand():
    groups = torch.tensor([1, 0, 1, 0, 1, 2])
    keys = torch.tensor([5.0, 1.0, 7.0, 2.0, 6.0, 0.0])

    assert best_of_each_group(groups, keys, 2).tolist() == [3, 1, 2, 4, 5]
    assert best_of_each_group(groups, keys, 1).tolist() == [3, 2, 5]
    assert best_of_each_group(groups[:0], keys[:0], 1).tolist() == []


def collected(host, monkeypatch, n_kept, shape):
    monkeypatch.setattr(module, "BATCH_TOKENS", 40)
    sae = random_sae(site=SITE)
    batches = list(encoded_batches(host, sae, TEXTS, n_tokens=1000))
    chosen = torch.tensor([5, 0, 63])
    collector = WindowCollector(chosen, sae.d_sae, n_kept, shape)
    for batch in batches:
        entries, slots = collector.entries(batch)
        collector.offer(batch, entries, slots, batch.feature_acts.values[entries])
    return batches, chosen, collector


def test_the_largest_activations_of_many_batches_are_kept(tiny_host, monkeypatch):
    batches, chosen, collector = collected(tiny_host, monkeypatch, 4, WindowShape(2, 1))
    assert len(batches) > 3

    for slot, feature in enumerate(chosen.tolist()):
        everything = torch.cat([batch.feature_acts.to_dense()[:, feature] for batch in batches])
        kept = collector.result(slot)
        expected = everything[everything > 0].sort(descending=True).values[:4]
        torch.testing.assert_close(kept.activations[:, 2], expected)


def test_a_window_ends_where_its_document_does(tiny_host, monkeypatch):
    _, chosen, collector = collected(tiny_host, monkeypatch, 3, WindowShape(20, 20))
    sae = random_sae(site=SITE)

    for slot, feature in enumerate(chosen.tolist()):
        kept = collector.result(slot)
        for ids, activations, document in zip(kept.token_ids, kept.activations, kept.document_ids, strict=True):
            whole = tiny_host.tokenise(TEXTS[document])
            alone = sae.encode(tiny_host.capture(tiny_host.batch([whole]), [SITE])[SITE][0, 1:])[:, feature]
            assert ids[ids != NO_TOKEN].tolist() == whole[1:].tolist()
            torch.testing.assert_close(activations[ids != NO_TOKEN], alone)
            assert not activations[ids == NO_TOKEN].any()


def test_a_feature_that_never_fires_has_no_window(tiny_host):
    sae = random_sae(site=SITE).with_threshold(torch.full((64,), 1e6))
    collector = WindowCollector(torch.tensor([3]), 64, 2, WindowShape(1, 1))
    for batch in encoded_batches(tiny_host, sae, TEXTS, n_tokens=50):
        collector.offer(batch, *collector.entries(batch), batch.feature_acts.values)

    assert collector.result(0).token_ids.shape == (0, 3)
