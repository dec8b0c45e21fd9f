"""SAE: hand-made dictionaries with readable answers, and what is refused."""

import pytest
import torch

from sae.dictionary import autoencoder
from sae.dictionary.autoencoder import SAE
from sae.dictionary.feature_acts import FeatureActs
from sae.host.sites import Site


def three_features(**changes) -> SAE:
    """Feature 0 reads x0 above 1, feature 1 reads x1 above 0, feature 2 reads -x0 above 0.5."""
    directions = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    parts = {
        "encoder_rows": directions,
        "b_enc": torch.zeros(3),
        "decoder_rows": directions,
        "b_dec": torch.tensor([0.0, 10.0]),
        "threshold": torch.tensor([1.0, 0.0, 0.5]),
        "site": Site("resid_post", 2),
    }
    return SAE(**(parts | changes))


def random_sae(d_model=8, d_sae=32, seed=0) -> SAE:
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    return SAE(
        encoder_rows=draw(d_sae, d_model),
        b_enc=draw(d_sae),
        decoder_rows=draw(d_sae, d_model),
        b_dec=draw(d_model),
        threshold=draw(d_sae).abs(),
    )


@pytest.mark.parametrize(
    ("x", "feature_acts"),
    [
        ([3.0, 2.0], [3.0, 2.0, 0.0]),
        ([1.0, 0.0], [0.0, 0.0, 0.0]),  # at the threshold a feature is off
        ([-0.6, -1.0], [0.0, 0.0, 0.6]),
    ],
)
def test_encode_gates_at_the_threshold_and_keeps_the_value(x, feature_acts):
    assert three_features().encode(torch.tensor(x)).tolist() == pytest.approx(feature_acts)


def test_decode_adds_the_bias_and_the_active_rows():
    x_hat = three_features().decode(torch.tensor([3.0, 2.0, 0.0]))

    assert x_hat.tolist() == [3.0, 12.0]


def test_the_decoder_bias_is_not_subtracted_from_the_input():
    sae = three_features()

    assert sae.pre_acts(torch.tensor([0.0, 5.0])).tolist() == [0.0, 5.0, 0.0]


def test_weights_have_the_shapes_of_the_field_and_share_storage():
    sae = random_sae()

    assert sae.W_enc.shape == (8, 32)
    assert sae.W_dec.shape == (32, 8)
    assert sae.W_enc.data_ptr() == sae.encoder_rows.data_ptr()


def test_sparse_and_dense_paths_agree(monkeypatch):
    sae = random_sae()
    monkeypatch.setattr(autoencoder, "MAX_DENSE_BYTES", 4 * sae.d_sae * 3)  # three tokens a chunk
    x = torch.randn(10, 8)

    sparse = sae.encode_sparse(x)

    torch.testing.assert_close(sparse.to_dense(), sae.encode(x))
    torch.testing.assert_close(sae.decode_sparse(sparse), sae.decode(sae.encode(x)))


def test_decode_sparse_of_silent_tokens_is_the_bias():
    silent = FeatureActs.from_dense(torch.zeros(2, 3))

    assert three_features().decode_sparse(silent).tolist() == [[0.0, 10.0], [0.0, 10.0]]


def test_encode_features_gives_the_chosen_columns_in_the_asked_order():
    sae = random_sae()
    x = torch.randn(2, 5, 8)
    chosen = torch.tensor([30, 2, 2])

    torch.testing.assert_close(sae.encode_features(x, chosen), sae.encode(x)[..., chosen])


def test_half_precision_input_is_computed_in_float32():
    assert random_sae().encode(torch.randn(3, 8, dtype=torch.bfloat16)).dtype == torch.float32


def test_gradient_reaches_the_input_through_active_features_only():
    x = torch.tensor([3.0, -2.0], requires_grad=True)

    three_features().encode(x).sum().backward()

    assert x.grad.tolist() == [1.0, 0.0]


def test_content_hash_depends_on_the_values_alone():
    assert three_features().content_hash == three_features(site=None, metadata={"note": 1}).content_hash
    assert three_features().content_hash != three_features(b_enc=torch.tensor([0.0, 0.0, 1e-6])).content_hash


def test_another_width_is_refused_with_both_numbers():
    with pytest.raises(ValueError, match=r"d_model 7 but the SAE at resid_post\.2 has d_model 2"):
        three_features().encode(torch.zeros(4, 7))
    with pytest.raises(ValueError, match="d_model 7"):
        three_features().encode_features(torch.zeros(4, 7), torch.tensor([0]))


def test_negative_thresholds_are_refused():
    with pytest.raises(ValueError, match="threshold has negative or non-finite entries"):
        three_features(threshold=torch.tensor([1.0, -0.1, 0.0]))


def top_2_of_4(**changes) -> SAE:
    """Four features that read one coordinate each, of which a token may have two."""
    parts = {"encoder_rows": torch.eye(4), "b_enc": torch.zeros(4), "decoder_rows": torch.eye(4)}
    return SAE(**(parts | {"b_dec": torch.zeros(4), "threshold": torch.zeros(4), "top_k": 2} | changes))


@pytest.mark.parametrize(
    ("x", "feature_acts"),
    [
        ([1.0, 4.0, 2.0, 3.0], [0.0, 4.0, 0.0, 3.0]),
        ([1.0, -4.0, -2.0, -3.0], [1.0, 0.0, 0.0, 0.0]),  # only positive pre-activations are kept
        ([0.0, -4.0, -2.0, -3.0], [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_top_k_keeps_the_largest_of_each_token(x, feature_acts):
    assert top_2_of_4().encode(torch.tensor(x)).tolist() == feature_acts


def test_top_k_paths_agree():
    sae = top_2_of_4()
    x = torch.randn(3, 5, 4)

    torch.testing.assert_close(sae.encode_features(x, torch.tensor([3, 1])), sae.encode(x)[..., [3, 1]])
    torch.testing.assert_close(sae.encode_sparse(x[0]).to_dense(), sae.encode(x[0]))
    assert int(sae.encode_sparse(x[0]).l0.max()) <= 2


def test_top_k_gradient_reaches_the_input_through_the_kept_features_only():
    x = torch.tensor([1.0, 4.0, 2.0, 3.0], requires_grad=True)

    top_2_of_4().encode(x).sum().backward()

    assert x.grad.tolist() == [0.0, 1.0, 0.0, 1.0]


def test_top_k_survives_copies_and_ends_with_thresholds():
    sae = top_2_of_4()

    assert (sae.to("cpu").top_k, sae.rounded().top_k, sae.with_metadata({}).top_k) == (2, 2, 2)
    assert sae.with_threshold(torch.ones(4)).top_k is None
    assert sae.content_hash != top_2_of_4(top_k=None).content_hash
    assert repr(sae) == "SAE(site=None, d_model=4, d_sae=4, top_k=2)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"top_k": 0}, "top_k is 0, expected an integer from 1 to d_sae, 4"),
        ({"top_k": 5}, "top_k is 5, expected an integer from 1 to d_sae, 4"),
        ({"threshold": torch.ones(4)}, "threshold is not 0 beside top_k 2"),
    ],
)
def test_a_top_k_that_means_nothing_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        top_2_of_4(**changes)
