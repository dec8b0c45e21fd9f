"""Every number of an evaluation against its definition on the tokens themselves, and where it must be a known value."""

from math import comb

import pytest
import torch
from evaluation_cases import SITE, all_activations, documents
from tiny_models import random_sae

from sae.dictionary.random_directions import random_dictionary_of_density
from sae.evaluation.answer_change import answer_change
from sae.evaluation.collecting import collect
from sae.evaluation.degenerate import constant_sae, identity_sae, scaling_sae
from sae.evaluation.feature_use import feature_use
from sae.evaluation.metrics import METRICS, measure, measure_difference
from sae.evaluation.nulls import NULLS, null_dictionaries
from sae.evaluation.position_classes import EXCLUDED
from sae.evaluation.survey import Survey
from sae.evaluation.table_files import load_table, save_table
from sae.measurement import resampled_counts

FAR = 20.0
"""So far from the origin that metrics that forget the mean look good."""


@pytest.fixture(scope="module")
def found(tiny_host):
    return documents(tiny_host)


@pytest.fixture(scope="module")
def x(tiny_host, found):
    return all_activations(tiny_host, found)


@pytest.fixture(scope="module")
def dictionaries(x):
    mean = x.double().mean(0).float()
    return {
        "sae": random_sae(d_model=32, seed=3),
        "zero": constant_sae(torch.zeros(32)),
        "mean": constant_sae(mean),
        "identity": identity_sae(32),
        "shrunk": scaling_sae(mean, factor=0.6),
        "shifted": constant_sae(mean + FAR),
    }


@pytest.fixture(scope="module")
def table(tiny_host, found, x, dictionaries):
    return collect(tiny_host, found, SITE, dictionaries, shift=x.double().mean(0))


def ablations(x):
    return {"zero": constant_sae(torch.zeros(32)), "mean": constant_sae(x.mean(0))}


def value(table, metric, name, position_class=None):
    return measure(METRICS[metric], table, name, position_class=position_class).value


def by_hand(sae, x):
    """The variants of explained variance and their relatives, straight from their definitions."""
    x_hat, x = sae.decode(sae.encode(x)).double(), x.double()
    error, centred = x - x_hat, x - x.mean(0)
    of_dimensions = 1 - error.square().sum(0) / centred.square().sum(0)
    return {
        "explained_variance": 1 - error.square().sum() / centred.square().sum(),
        "explained_variance_of_tokens": (1 - error.square().sum(1) / centred.square().sum(1)).mean(),
        "explained_variance_of_dimensions": of_dimensions.mean(),
        "explained_variance_without_bias": 1 - error.var(0).sum() / x.var(0).sum(),
        "explained_variance_uncentred": 1 - error.square().sum() / x.square().sum(),
        "normalised_mse": error.square().sum() / centred.square().sum(),
        "cosine": torch.cosine_similarity(x, x_hat, dim=1).mean(),
        "relative_bias": x_hat.square().sum() / (x * x_hat).sum(),
        "l2_ratio": x_hat.norm(dim=1).mean() / x.norm(dim=1).mean(),
        "l0": (sae.encode(x.float()) > 0).sum(1).double().mean(),
    }


@pytest.mark.parametrize("name", ["sae", "shrunk", "identity", "mean"])
def test_numbers_are_their_definitions(table, x, dictionaries, name):
    for metric, expected in by_hand(dictionaries[name], x).items():
        assert value(table, metric, name) == pytest.approx(float(expected), rel=1e-3, abs=1e-4), metric


@pytest.mark.parametrize(
    ("metric", "name", "expected"),
    [
        ("explained_variance", "identity", 1.0),
        ("explained_variance", "mean", 0.0),
        ("explained_variance", "shrunk", 0.84),
        ("explained_variance_of_tokens", "mean", 0.0),
        ("explained_variance_of_dimensions", "mean", 0.0),
        ("explained_variance_without_bias", "mean", 0.0),
        ("explained_variance_without_bias", "shifted", 0.0),
        ("normalised_mse", "mean", 1.0),
        ("relative_bias", "identity", 1.0),
        ("l2_ratio", "zero", 0.0),
        ("delta_ce", "identity", 0.0),
        ("kl", "identity", 0.0),
        ("recovered_from_zero", "zero", 0.0),
        ("recovered_from_mean", "mean", 0.0),
        ("recovered_from_zero", "identity", 1.0),
        ("accuracy_change", "identity", 0.0),
        ("l0", "mean", 0.0),
        ("l0_quantile_50", "identity", 32.0),
    ],
)
def test_degenerate_dictionaries_have_their_known_scores(table, metric, name, expected):
    assert value(table, metric, name) == pytest.approx(expected, abs=1e-4)


def test_the_mean_explains_nothing_however_far_it_lies_from_the_origin(tiny_host, found):
    """An estimator that averages squares before it centres gives a constant predictor up to 1."""
    far = torch.full((32,), 1000.0, dtype=torch.float64)
    x = all_activations(tiny_host, found)
    dictionaries = {"zero": constant_sae(torch.zeros(32)), "mean": constant_sae(x.double().mean(0).float())}
    shifted = collect(tiny_host, found, SITE, dictionaries, shift=far)

    assert value(shifted, "explained_variance", "mean") == pytest.approx(0.0, abs=1e-6)
    assert value(shifted, "explained_variance", "zero") < 0


def test_a_constant_error_counts_in_the_headline_and_not_in_the_variant_without_bias(table):
    assert value(table, "explained_variance", "shifted") < -100
    assert value(table, "explained_variance_without_bias", "shifted") == pytest.approx(0.0, abs=1e-4)


def test_a_class_is_centred_on_its_own_mean(table, x, found, dictionaries):
    classes = torch.cat([document.classes[document.classes != EXCLUDED] for document in found])
    for index, name in enumerate(table.classes):
        expected = by_hand(dictionaries["sae"], x[classes == index])["explained_variance"]
        assert value(table, "explained_variance", "sae", name) == pytest.approx(float(expected), rel=1e-4)
        assert value(table, "explained_variance", "mean", name) < 0


def test_a_class_without_tokens_has_no_number(tiny_host, x):
    plain = documents(tiny_host, 3)
    for document in plain:
        document.classes[document.classes == 0] = 2
    found = collect(
        tiny_host,
        plain,
        SITE,
        ablations(x),
        shift=x.double().mean(0),
    )

    empty = measure(METRICS["explained_variance"], found, "mean", position_class="answer")
    assert (empty.value, empty.reason) == (None, "it is not defined on these units")
    assert answer_change(found, "mean") is None


def test_the_interval_is_that_of_resampled_documents(table, x, found, dictionaries):
    measured = measure(METRICS["explained_variance"], table, "sae")
    pieces = x.split([document.n_tokens for document in found])
    drawn = []
    for counts in resampled_counts(len(found))[:200].long():
        rows = torch.cat([piece for piece, n in zip(pieces, counts.tolist(), strict=True) for _ in range(n)])
        drawn.append(float(by_hand(dictionaries["sae"], rows)["explained_variance"]))
    low, high = torch.tensor(drawn).quantile(torch.tensor([0.025, 0.975])).tolist()
    assert measured.n == len(found)
    assert (measured.low, measured.high) == pytest.approx((low, high), abs=0.02)
    assert measured.low < measured.value < measured.high


def test_a_difference_in_pairs_is_narrower_than_its_parts(table):
    metric = METRICS["explained_variance"]
    nothing = measure_difference(metric, (table, "sae"), (table, "sae"))
    gain = measure_difference(metric, (table, "mean"), (table, "shrunk"))

    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)
    # 0.84 whatever the documents: nothing is uncertain about it but each draw's own mean
    assert gain.value == pytest.approx(0.84, abs=1e-4)
    assert gain.high - gain.low < 0.05


def test_different_documents_are_not_compared(tiny_host, table, x):
    other = collect(
        tiny_host,
        documents(tiny_host, 5, seed=1),
        SITE,
        ablations(x),
        shift=x.double().mean(0),
    )

    with pytest.raises(ValueError, match="'mean' and 'mean' were evaluated on different documents, expected the same"):
        measure_difference(METRICS["l0"], (table, "mean"), (other, "mean"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "l0", "name": "none"}, "dictionary 'none' is not in the table"),
        ({"metric": "l0", "name": "sae", "position_class": "verbs"}, "position class 'verbs' is unknown"),
        ({"metric": "l0_quantile_50", "name": "sae", "position_class": "answer"}, "is not known for position classes"),
    ],
)
def test_unknown_names_are_refused(table, options, message):
    with pytest.raises(ValueError, match=message):
        value(table, **options)


def test_a_table_comes_back_from_disk(table, tmp_path):
    save_table(table, tmp_path / "t.safetensors")
    again = load_table(tmp_path / "t.safetensors")

    assert (again.classes, again.digest, list(again.dictionaries)) == (
        table.classes,
        table.digest,
        list(table.dictionaries),
    )
    for metric in METRICS:
        assert measure(METRICS[metric], again, "sae") == measure(METRICS[metric], table, "sae")


def test_a_file_that_is_no_table_is_refused(tmp_path):
    (tmp_path / "t.safetensors").write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match=r"is no evaluation table .*, expected what `sae evaluate` wrote"):
        load_table(tmp_path / "t.safetensors")


def test_features_are_counted(table, x, dictionaries):
    use = feature_use(table.text, table.dictionaries["sae"])
    density = (dictionaries["sae"].encode(x) > 0).double().mean(0)

    assert (use.d_sae, use.n_tokens) == (64, len(x))
    assert use.n_dead == int((density == 0).sum())
    assert use.n_dense_10 == int((density > 0.1).sum())
    assert sum(use.histogram.values()) == 64
    assert feature_use(table.text, table.dictionaries["mean"]).n_alive == 0


def test_answers_lost_are_tested_by_document(table):
    change = answer_change(table, "zero")

    assert change.n_answers == 30
    assert change.n_right == change.n_right_plain - change.n_lost + change.n_gained
    # one answer a document: McNemar's exact test by hand, both tails of a fair coin
    n, k = change.n_lost + change.n_gained, min(change.n_lost, change.n_gained)
    tail = sum(comb(n, i) for i in range(k + 1)) / 2**n
    assert change.p_value == pytest.approx(min(1.0, float(2 * tail)), rel=1e-4)
    assert answer_change(table, "identity").p_value == 1.0


# The nulls


@pytest.fixture(scope="module")
def surveyed():
    x = torch.randn(500, 32, generator=torch.Generator().manual_seed(0)) + 2.0
    return Survey(x.double().mean(0), x, torch.linspace(0, 0.3, 64, dtype=torch.float64))


def test_nulls_have_the_dictionarys_l0(surveyed):
    x = surveyed.sample
    nulls = null_dictionaries(NULLS, surveyed)

    assert list(nulls) == list(NULLS)
    assert float((nulls["pca"].encode(x) > 0).sum(1).double().mean()) == pytest.approx(round(surveyed.l0), abs=0.1)
    density = (nulls["random"].encode(x) > 0).double().mean(0)
    torch.testing.assert_close(density, surveyed.density, atol=1.5 / len(x), rtol=0)


def test_a_random_dictionary_is_scaled_as_well_as_can_be(surveyed, x):
    null = random_dictionary_of_density(x, surveyed.density)
    error = x - null.decode(null.encode(x))
    product = float((error * (x - error - (x - error).mean(0))).sum())

    # what it leaves out is at right angles to what it gives back
    assert abs(product) < 1e-3 * float(error.square().sum())
    assert float(error.square().sum()) < float((x - x.mean(0)).square().sum())


def test_a_silent_dictionary_has_a_silent_null(x):
    null = random_dictionary_of_density(x, torch.zeros(8, dtype=torch.float64))

    assert null.encode(x).count_nonzero() == 0
    torch.testing.assert_close(null.decode(null.encode(x))[0], x.double().mean(0).float())


def test_an_unknown_null_is_refused(surveyed):
    with pytest.raises(ValueError, match="null 'noise' is unknown, expected some of zero, mean, random, pca"):
        null_dictionaries(["noise"], surveyed)
