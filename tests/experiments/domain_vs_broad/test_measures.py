"""What is kept of features: the numbers of the library's own measures, and a reason where there are none."""

import random

import pytest
import torch
from evaluation_cases import SITE, at_site, documents, texts
from labelled_cases import ILL, embedding_sae, ill_documents, told
from tiny_models import random_sae

from experiments.domain_vs_broad.measures.interpretability import interpretability_record
from experiments.domain_vs_broad.measures.judged_text import JudgedText, judged_text
from experiments.domain_vs_broad.measures.known_concepts import (
    NOT_KNOWN,
    absorption_record,
    localisation_record,
    probing_record,
)
from experiments.domain_vs_broad.measures.pooling import pooled
from experiments.domain_vs_broad.measures.ratios import (
    absorption,
    cost,
    error_share,
    l0,
    linear_share,
    localised,
    probed,
    rules,
)
from experiments.domain_vs_broad.measures.residual import residual_record
from experiments.domain_vs_broad.measures.settings import MeasureSettings
from experiments.domain_vs_broad.texts import EvaluationText
from experiments.near_duplicates import Deduplicated
from sae.annotated_text import AnnotatedText
from sae.evaluation.causal_split import causal_split
from sae.evaluation.document_activations import document_activations
from sae.evaluation.residual_error import fit_error, reconstructed, residual_error
from sae.localisation.localising import localise
from sae.probing.absorption import measure_absorption
from sae.probing.pooled_documents import pool_documents
from sae.probing.sparse_probing import probe_documents

SETTINGS = MeasureSettings(tokens=10**6, features=5, examples=10, explaining=5, permutations=5)
CHILDREN, OTHERS = ("w1", "w2", "w3", "w4"), ("w11", "w12", "w13", "w14")
PARENTS = {**dict.fromkeys(CHILDREN, ("infection",)), **dict.fromkeys(OTHERS, ("other",))}
FEATURES = [["w7", "w8"], ["w20", "w21", "w22"], ["w5", "w6"], ["w5"], *([f"w{n}"] for n in range(23, 44))]


def text_of(host, n=200, **known):
    found = documents(host, n)
    kept = Deduplicated(tuple(range(n)), 0, 0)
    held_out = EvaluationText(found, texts(n), kept, torch.zeros(host.d_model, dtype=torch.float64))
    return JudgedText("texts", held_out, **known)


@pytest.fixture(scope="module")
def sae():
    return at_site(random_sae(32, 64))


@pytest.fixture(scope="module")
def residual(tiny_host, sae):
    return residual_record(tiny_host, sae, SITE, text_of(tiny_host))


def test_the_split_of_the_error_is_that_of_the_library(tiny_host, sae, residual):
    activations = document_activations(tiny_host, documents(tiny_host, 200), SITE)
    parts = residual_error(sae, activations)
    for name, part in ((name, parts[name]) for name in ("sae", "pca", "random")):
        found = pooled([error_share(name, "all")(residual)])
        assert found.value == pytest.approx(part.fvu.value, rel=1e-4)
        assert (found.low, found.high) == pytest.approx((part.fvu.low, part.fvu.high), rel=0.05)
        for kind, expected in (("linear", part.fvu_linear), ("nonlinear", part.fvu_nonlinear)):
            value = pooled([error_share(name, kind)(residual)]).value
            assert value == pytest.approx(expected.value, rel=1e-3, abs=1e-6)
    share = pooled([linear_share("pca")(residual)]).value
    assert share == pytest.approx(1.0, abs=1e-3)
    active = sae.encode_sparse(activations.x)
    assert pooled([l0(residual)]).value == pytest.approx(float(active.l0.double().mean()), rel=1e-4)


def test_what_the_parts_cost_is_that_of_the_library(tiny_host, sae, residual):
    held_out = documents(tiny_host, 200)
    activations = document_activations(tiny_host, held_out, SITE)
    split = causal_split(tiny_host, held_out, SITE, sae, fit_error(activations, reconstructed(sae, activations.x)))
    for kind, expected in (
        ("all", split.delta_ce),
        ("nonlinear", split.delta_ce_nonlinear),
        ("linear", split.delta_ce_linear),
    ):
        found = pooled([cost(kind)(residual)])
        assert (found.value, found.low, found.high) == pytest.approx(
            (expected.value, expected.low, expected.high), rel=1e-3, abs=1e-6
        )
    share = pooled([cost("nonlinear", over="all")(residual)]).value
    assert share == pytest.approx(split.nonlinear_share.value, rel=1e-3)


def test_too_little_text_to_fit_maps_is_refused(tiny_host, sae):
    with pytest.raises(ValueError, match="tokens are too few to fit maps"):
        residual_record(tiny_host, sae, SITE, text_of(tiny_host, 30))


def test_features_are_scored_beside_random_directions(tiny_host):
    known = ill_documents(600)
    held_out = EvaluationText([], known, Deduplicated((), 0, 0), torch.zeros(32, dtype=torch.float64))
    found = interpretability_record(
        tiny_host, embedding_sae(tiny_host, FEATURES), JudgedText("ill", held_out), SETTINGS
    )
    assert found["features"]["n_chosen"] == 5
    for scorer in ("lexical", "ontology"):
        assert found["features"]["scorers"][scorer], scorer
    values = {kind: pooled([rules("lexical", "f1", kind=kind)(found)]).value for kind in ("features", "random")}
    # each feature is on a few words and on nothing else, which a rule of words can say
    assert values["features"] > 0.95
    # and random directions at the embedding are on some words and not on others, too: what the null is for
    assert values["random"] > 0.9
    for row in found["features"]["scorers"]["lexical"]:
        assert row["positive_share"] == 0.5
        assert row["always_yes"] == pytest.approx(2 / 3)
        assert row["shuffled_f1"] < row["f1"]


def test_text_without_concepts_has_no_ontology_explanations(tiny_host):
    plain = [AnnotatedText(document.text) for document in ill_documents(600)]
    held_out = EvaluationText([], plain, Deduplicated((), 0, 0), torch.zeros(32, dtype=torch.float64))
    found = interpretability_record(
        tiny_host, embedding_sae(tiny_host, FEATURES), JudgedText("ill", held_out), SETTINGS
    )
    assert list(found["features"]["scorers"]) == ["lexical"]
    assert pooled([rules("ontology", "f1")(found)]).value is None


def test_features_that_are_never_active_are_refused(tiny_host):
    silent = embedding_sae(tiny_host, FEATURES).with_threshold(torch.full((len(FEATURES),), 1e6))
    with pytest.raises(ValueError, match="no feature is active in enough documents"):
        interpretability_record(tiny_host, silent, text_of(tiny_host), SETTINGS)


def test_localisation_is_that_of_the_library(tiny_host):
    sae = embedding_sae(tiny_host, FEATURES)
    record = localisation_record(tiny_host, sae, text_of(tiny_host, labelled=ill_documents()), SETTINGS)
    expected = localise(tiny_host, sae, ill_documents(), n_permutations=5).held_out.families[0]
    assert [row["concept"] for row in record["concepts"]] == sorted(ILL)
    assert pooled([localised("f1")(record)]).value == pytest.approx(expected.features["f1"].value)
    assert pooled([localised("token_f1")(record)]).value == pytest.approx(expected.token_types["f1"].value)
    assert record["permuted_f1"] == expected.permuted_f1
    assert record["unseen"] is None


def test_probing_is_that_of_the_library(tiny_host):
    rng = random.Random(0)
    classified = [
        AnnotatedText(" ".join([*rng.choices(["w9", "w10", "w12"], k=4), *(["w7"] if is_ill else [])]), classes=found)
        for number in range(400)
        if (found := (("ill",) if (is_ill := number % 2 == 0) else ("well",)))
    ]
    classified = [AnnotatedText(f"{each.text} w{n % 40}", classes=each.classes) for n, each in enumerate(classified)]
    sae = embedding_sae(tiny_host, FEATURES)
    record = probing_record(tiny_host, sae, text_of(tiny_host, classified=classified), SETTINGS)
    expected = probe_documents(pool_documents(tiny_host, sae, classified))
    for method in ("k=1", "k=20", "tfidf", "dense"):
        value = pooled([probed(method)(record)]).value
        assert value == pytest.approx(expected.mean[method]["balanced_accuracy"].value)
    shuffled = pooled([probed("k=1", labels="shuffled")(record)]).value
    assert shuffled == pytest.approx(expected.shuffled["k=1"]["balanced_accuracy"].value)


def test_absorption_is_that_of_the_library(tiny_host):
    rng = random.Random(0)
    labelled = []
    for _ in range(600):
        words = [*rng.choices(list(PARENTS), k=2), *rng.choices(["w20", "w21", "w22", "w23"], k=4)]
        rng.shuffle(words)
        labelled.append(told(words, {word: word for word in PARENTS}))
    sae = embedding_sae(tiny_host, [["w1", "w2", "w3"], ["w4"]])
    record = absorption_record(tiny_host, sae, text_of(tiny_host, labelled=labelled, parents=PARENTS), SETTINGS)
    expected = measure_absorption(tiny_host, sae, labelled, PARENTS).hierarchy
    assert pooled([absorption("silent")(record)]).value == pytest.approx(expected.silent.value)
    assert pooled([absorption("absorbed")(record)]).value == pytest.approx(expected.absorbed.value)


@pytest.mark.parametrize("record", [localisation_record, probing_record, absorption_record])
def test_a_corpus_that_knows_nothing_is_refused(tiny_host, sae, record):
    with pytest.raises(ValueError, match=NOT_KNOWN):
        record(tiny_host, sae, text_of(tiny_host), SETTINGS)


def test_a_registered_corpus_knows_its_concepts_and_a_file_or_a_mixture_does_not(tiny_host, tmp_path):
    held_out = text_of(tiny_host, 5).held_out
    settings = MeasureSettings(labelled=6, classified=4)
    known = judged_text("clinic:clinical:split=test", held_out, settings)
    assert [len(each) for each in (known.labelled, known.unseen, known.classified)] == [6, 3, 4]
    assert known.parents
    (tmp_path / "plain.jsonl").write_text('{"text": "a"}\n')
    for spec in (str(tmp_path / "plain.jsonl"), str(tmp_path), "clinic:clinical+clinic:broad", "clinic:broad"):
        nothing = judged_text(spec, held_out, settings)
        assert not any((nothing.labelled, nothing.unseen, nothing.classified, nothing.parents))
