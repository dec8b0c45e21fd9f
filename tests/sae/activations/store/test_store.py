"""Opening and reading a store, and what is refused."""

import json

import pytest
import torch
from tiny_models import save_tiny_llama, tiny_llama

from sae.activations.store.store import ActivationStore
from sae.host.host import HostModel
from sae.host.sites import Site

LAST_SITE = Site("resid_post", 1)
SHARD = "resid_post.1-00001.safetensors"


def test_what_is_in_it(small_store, stored_sites):
    opened = ActivationStore.open(small_store.path)

    assert opened.sites == tuple(stored_sites)
    assert (opened.n_tokens, opened.d_model) == (200, 32)
    assert opened.missing is None
    opened.verify()


@pytest.mark.parametrize("indices", [[0], [199, 0, 80, 80, 3], [], list(range(200))])
def test_chosen_rows_are_those_of_the_whole(small_store, indices):
    whole = small_store.span(LAST_SITE, 0, 200)
    indices = torch.tensor(indices, dtype=torch.long)

    assert torch.equal(small_store.rows(LAST_SITE, indices), whole[indices])


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (0, 1), (60, 150), (199, 200)])
def test_spans_are_those_of_the_whole(small_store, start, stop):
    whole = small_store.span(LAST_SITE, 0, 200)

    assert torch.equal(small_store.span(LAST_SITE, start, stop), whole[start:stop])


def test_activations_are_float32_and_files_lie_by_site_and_shard(small_store):
    assert small_store.held_out(LAST_SITE).dtype == torch.float32
    assert {SHARD, "resid_post.1-held-out.safetensors", "tokens-00002.safetensors"} <= {
        path.name for path in small_store.path.iterdir()
    }


def test_another_site_is_refused(small_store):
    for read in (
        lambda site: small_store.held_out(site),
        lambda site: small_store.statistics(site),
        lambda site: small_store.rows(site, torch.tensor([0])),
    ):
        with pytest.raises(ValueError, match=r"no site mlp_out\.0, only: embed, resid_post\.1"):
            read(Site("mlp_out", 0))


def test_its_host_is_known(small_store, store_host, tmp_path):
    small_store.check_host(store_host)
    # a host without a directory cannot be told apart by its weights
    small_store.check_host(tiny_llama(seed=1))
    other = HostModel.load(save_tiny_llama(tmp_path / "other", seed=1))

    with pytest.raises(ValueError, match=r"was harvested from host .*tiny.*, not from .*other.*; use that host"):
        small_store.check_host(other)
    with pytest.raises(ValueError, match=r"d_model 32.*d_model 16"):
        small_store.check_host(tiny_llama(hidden_size=16))


def test_a_truncated_shard_is_named(store_copy):
    (store_copy / SHARD).write_bytes((store_copy / SHARD).read_bytes()[:-10])
    opened = ActivationStore.open(store_copy)

    assert f"lacks {SHARD}, or has it cut short" in opened.missing
    with pytest.raises(ValueError, match=rf"{SHARD} has \d+ bytes, expected \d+: it is truncated"):
        opened.span(LAST_SITE, 0, 200)
    with pytest.raises(ValueError, match=SHARD):
        opened.verify()


def test_an_altered_shard_is_named_when_it_is_first_read(store_copy):
    contents = bytearray((store_copy / SHARD).read_bytes())
    contents[-1] ^= 1
    (store_copy / SHARD).write_bytes(contents)
    opened = ActivationStore.open(store_copy)
    first_shard = opened.manifest.parts["00000"].n_tokens

    assert opened.missing is None
    opened.span(LAST_SITE, 0, first_shard)
    with pytest.raises(ValueError, match=rf"{SHARD} is altered: its SHA-256"):
        opened.span(LAST_SITE, 0, first_shard + 1)
    with pytest.raises(ValueError, match=rf"{SHARD} is altered"):
        opened.verify()


def test_a_missing_shard_is_one_line(store_copy):
    (store_copy / SHARD).unlink()
    (store_copy / "embed-00000.safetensors").unlink()
    opened = ActivationStore.open(store_copy)

    assert "lacks embed-00000.safetensors and 1 more" in opened.missing
    with pytest.raises(ValueError, match="harvest again with the same settings to continue"):
        opened.statistics(LAST_SITE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "format_version 2, expected 1"),
        ({"content_hash": "0" * 64}, "its configuration is not what content_hash stands for"),
        ({"configuration": {}}, "is damaged"),
        ({"parts": 3}, "is damaged"),
    ],
)
def test_an_altered_manifest_is_refused(store_copy, change, message):
    record = json.loads((store_copy / "manifest.json").read_text())
    (store_copy / "manifest.json").write_text(json.dumps(record | change))

    with pytest.raises(ValueError, match=message):
        ActivationStore.open(store_copy)


def test_what_is_no_store_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"is no activation store: manifest\.json is missing"):
        ActivationStore.open(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"manifest\.json is damaged"):
        ActivationStore.open(tmp_path)
