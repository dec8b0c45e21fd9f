"""Features that two dictionaries share: known overlaps, and the program."""

import json
from itertools import permutations

import pytest
import torch
from click.testing import CliRunner
from tiny_models import random_sae

from sae.cli import main
from sae.dictionary.autoencoder import SAE
from sae.evaluation.matched_features import compare_dictionaries, match_dictionaries
from sae.host.sites import Site

SITE = Site("resid_post", 1)


def with_rows(like, order, *, noise=0.0, n_fresh=0):
    """The features of a dictionary in another order, the first few of them replaced."""
    fresh = random_sae(like.d_model, like.d_sae, seed=77)
    encoder, decoder = like.encoder_rows[order].clone(), like.decoder_rows[order].clone()
    encoder[:n_fresh], decoder[:n_fresh] = fresh.encoder_rows[:n_fresh], fresh.decoder_rows[:n_fresh]
    generator = torch.Generator().manual_seed(5)
    return SAE(
        encoder_rows=encoder + noise * torch.randn(encoder.shape, generator=generator),
        b_enc=like.b_enc[order],
        decoder_rows=decoder,
        b_dec=like.b_dec,
        threshold=like.threshold[order],
        site=like.site,
    )


A = random_sae(d_model=64, d_sae=40, site=SITE)
ORDER = torch.randperm(40, generator=torch.Generator().manual_seed(1))


def test_a_dictionary_in_another_order_is_found_again():
    found = match_dictionaries(A, with_rows(A, ORDER))

    assert ORDER[found.features_b].tolist() == found.features_a.tolist() == list(range(40))
    assert found.is_shared.all()


def test_what_was_replaced_is_not_shared():
    found = compare_dictionaries(A, with_rows(A, ORDER, n_fresh=10))

    assert found.shared.value == pytest.approx(30 / 40)
    assert found.shared.low < 30 / 40 < found.shared.high
    assert found.null.value == 0


def test_both_what_is_read_and_what_is_written_must_agree():
    found = compare_dictionaries(A, with_rows(A, ORDER, noise=1.0))

    assert found.shared.value == 0
    assert found.decoder_cosines[50] == pytest.approx(1, abs=1e-5)
    assert found.encoder_cosines[95] < 0.7


def test_the_pairing_is_the_best_of_all():
    a, b = random_sae(d_model=3, d_sae=5), random_sae(d_model=3, d_sae=5, seed=1)
    found = match_dictionaries(a, b)

    def cosines(left, right):
        return torch.nn.functional.cosine_similarity(left[:, None], right[None], dim=2)

    worth = cosines(a.encoder_rows, b.encoder_rows) + cosines(a.decoder_rows, b.decoder_rows)
    best = max(float(worth[torch.arange(5), list(order)].sum()) for order in permutations(range(5)))
    assert float((found.encoder_cosine + found.decoder_cosine).sum()) == pytest.approx(best, abs=1e-5)


def test_the_share_stands_beside_that_of_a_second_seed():
    second_seed, other_data = with_rows(A, ORDER, n_fresh=4), with_rows(A, ORDER, n_fresh=24)

    found = compare_dictionaries(A, other_data, baseline=second_seed)

    assert found.baseline.value == pytest.approx(36 / 40)
    assert found.missing.value == pytest.approx(20 / 40)
    assert found.missing.low > 0
    nothing = compare_dictionaries(A, second_seed, baseline=second_seed).missing
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)


def test_a_smaller_dictionary_can_only_have_some():
    assert compare_dictionaries(A, with_rows(A, ORDER[:10])).shared.value == pytest.approx(10 / 40)


@pytest.mark.parametrize(
    ("b", "message"),
    [
        (random_sae(d_model=32, site=SITE), "the SAEs have d_model 64 and 32, expected equal ones"),
        (
            random_sae(d_model=64, site=Site("mlp_out", 1)),
            "belong to resid_post.1 and mlp_out.1, expected one site",
        ),
    ],
)
def test_dictionaries_of_different_places_are_refused(b, message):
    with pytest.raises(ValueError, match=message):
        compare_dictionaries(A, b)


def test_the_program(tmp_path):
    paths = [tmp_path / name for name in ("a", "b", "c")]
    for path, sae in zip(paths, (A, with_rows(A, ORDER, n_fresh=20), with_rows(A, ORDER)), strict=True):
        sae.save(path, weight_dtype=torch.float32)

    plain = CliRunner().invoke(main, ["compare", str(paths[0]), str(paths[1])])
    assert plain.exit_code == 0, plain.stderr
    assert "shared by A and B: 0.500 [" in plain.stdout
    assert "no second seed was given (--baseline)" in plain.stdout
    whole = CliRunner().invoke(main, ["compare", str(paths[0]), str(paths[1]), "--baseline", str(paths[2]), "--json"])
    assert json.loads(whole.stdout)["baseline"]["value"] == 1
