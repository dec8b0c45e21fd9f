"""Reports on features against what the whole corpus gives when it is encoded at once."""

import json

import pytest
import torch
from tiny_models import random_sae

from sae.dictionary.labels import FeatureLabel, save_labels
from sae.host.sites import Site
from sae.inspection.inspect_dictionary import inspect_dictionary
from sae.inspection.inspect_features import inspect_features
from sae.inspection.sources import recorded_corpus, recorded_host

SITE = Site("resid_post", 1)
TEXTS = [" ".join(f"w{(5 * row + row * step) % 44}" for step in range(4 + row % 8)) for row in range(60)]


def encoded(host, sae):
    """Feature activations of every token of every text."""
    rows = [host.tokenise(text) for text in TEXTS]
    return torch.cat([sae.encode(host.capture(host.batch([ids]), [SITE])[SITE][0, 1:]) for ids in rows])


@pytest.fixture(scope="module")
def sae(tmp_path_factory):
    """On disk, with a name for feature 7 and one for feature 8 that does not fit; feature 9 never fires."""
    path = tmp_path_factory.mktemp("saes") / "resid_post.1"
    dictionary = random_sae(site=SITE)
    threshold = dictionary.threshold.clone()
    threshold[9] = 1e6
    record = {"domain_circuits": {"corpus": "letters.txt", "host": {"name": "tiny"}}}
    dictionary.with_threshold(threshold).with_metadata(record).save(path)
    save_labels(path, {7: FeatureLabel("seven", 0.9), 8: FeatureLabel("eight", 0.1)}, source="by hand")
    return type(dictionary).load(path)


@pytest.fixture(scope="module")
def report(tiny_host, sae):
    return inspect_features(tiny_host, sae, TEXTS, [7], corpus="letters.txt", n_tokens=10_000)[0]


def test_the_numbers_are_those_of_the_whole_corpus(tiny_host, sae, report):
    values = encoded(tiny_host, sae)[:, 7]
    active = values[values > 0]

    assert report.source.n_tokens == len(values)
    assert report.source.n_documents == len(TEXTS)
    assert report.n_active == len(active)
    assert report.density == pytest.approx(len(active) / len(values))
    assert report.largest_activation == pytest.approx(float(values.max()), rel=1e-5)
    assert report.mean_activation == pytest.approx(float(active.mean()), rel=1e-5)
    assert sum(report.activations.counts) == len(active)
    assert report.activations.edges[-1] == pytest.approx(float(values.max()), rel=1e-5)
    assert sum(report.densities.counts) + report.n_dead == 64
    assert report.label == FeatureLabel("seven", 0.9)


def test_the_strongest_contexts_come_first_and_from_different_documents(report):
    activations = [context.activation for context in report.strongest]

    assert activations == sorted(activations, reverse=True)
    assert activations[0] == pytest.approx(report.largest_activation)
    assert len({context.document for context in report.strongest}) == len(activations) > 3


def test_a_context_is_the_text_of_its_document(report):
    for context in (*report.strongest, *(each for decile in report.deciles for each in decile.contexts)):
        assert " ".join(token.strip() for token in context.tokens) in TEXTS[context.document]
        assert context.activation > 0


def test_deciles_are_tenths_by_rank_and_their_contexts_lie_within(tiny_host, sae, report):
    values = encoded(tiny_host, sae)[:, 7]
    median = float(values[values > 0].quantile(0.5))

    assert len(report.deciles) == 10
    assert report.deciles[0].high == pytest.approx(report.largest_activation)
    assert report.deciles[4].low == pytest.approx(median, rel=0.1)
    for above, below in zip(report.deciles, report.deciles[1:], strict=False):
        assert above.low == below.high
    for decile in report.deciles:
        assert all(decile.low <= context.activation <= decile.high for context in decile.contexts)
        assert decile.contexts


def test_tokens_it_is_active_on(tiny_host, sae, report):
    values = encoded(tiny_host, sae)[:, 7]
    ids = torch.cat([tiny_host.tokenise(text)[1:] for text in TEXTS])
    best = torch.bincount(ids[values > 0]).max().item()
    first = report.tokens[0]
    token_id = tiny_host.tokenizer.convert_tokens_to_ids(first.token)

    assert first.n == best == int(((ids == token_id) & (values > 0)).sum())
    assert first.share_of_token == pytest.approx(first.n / int((ids == token_id).sum()))
    assert first.share_of_firings == pytest.approx(first.n / report.n_active)


def test_a_name_that_does_not_fit_is_not_shown(tiny_host, sae):
    [report] = inspect_features(tiny_host, sae, TEXTS, [8], corpus="x", n_tokens=50)

    assert report.label is None


def test_a_feature_that_never_fires_has_a_report(tiny_host, sae):
    [report] = inspect_features(tiny_host, sae, TEXTS, [9], corpus="x", n_tokens=50)

    assert (report.n_active, report.density, report.largest_activation, report.mean_activation) == (0, 0, 0, 0)
    assert (report.strongest, report.deciles, report.tokens, report.activations.counts) == ((), (), (), ())
    assert len(report.promoted) == 10
    json.dumps(report.to_json(), allow_nan=False)


def test_the_same_seed_draws_the_same_contexts(tiny_host, sae):
    once, again = (inspect_features(tiny_host, sae, TEXTS, [7], corpus="x", n_tokens=300, seed=4) for _ in range(2))

    assert once == again


@pytest.mark.parametrize(
    ("features", "message"),
    [([64], "feature 64 is not in the SAE, expected 0 to 63"), ([], "no feature was asked for")],
)
def test_a_feature_that_is_not_there_is_refused(tiny_host, sae, features, message):
    with pytest.raises(ValueError, match=message):
        inspect_features(tiny_host, sae, TEXTS, features, corpus="x", n_tokens=50)


# The whole dictionary


def test_all_features_in_brief(tiny_host, sae):
    everything = encoded(tiny_host, sae)
    report = inspect_dictionary(tiny_host, sae, TEXTS, corpus="letters.txt", n_tokens=10_000)

    assert report.l0 == pytest.approx((everything > 0).sum(1).double().mean().item())
    assert report.n_dead == int((everything == 0).all(0).sum()) >= 1
    assert report.n_dense == int(((everything > 0).double().mean(0) > 0.1).sum())
    assert [each.density for each in report.features] == sorted(
        (each.density for each in report.features), reverse=True
    )
    assert len(report.features) == 64
    for each in report.features:
        assert sum(each.octaves) == int((everything[:, each.feature] > 0).sum())
        assert each.largest_activation == pytest.approx(float(everything[:, each.feature].max()), rel=1e-4)
        assert (each.context is None) == (each.density == 0)
        assert each.context is None or each.context.activation == each.largest_activation
    assert len(report.octave_edges) == len(report.features[0].octaves) + 1
    json.dumps(report.to_json(), allow_nan=False)


def test_of_a_large_dictionary_features_of_all_densities_are_listed(tiny_host, sae):
    everything = inspect_dictionary(tiny_host, sae, TEXTS, corpus="x", n_tokens=300).features
    some = inspect_dictionary(tiny_host, sae, TEXTS, corpus="x", n_tokens=300, most_features=5).features

    assert len(some) == 5
    assert (some[0], some[-1]) == (everything[0], everything[-1])
    assert set(some) <= set(everything)


def test_what_a_dictionary_says_of_its_training(sae):
    assert recorded_corpus(sae) == "letters.txt"
    assert recorded_host(sae) == "tiny"
    assert recorded_corpus(random_sae()) is None
    assert recorded_host(random_sae()) is None
