"""Concepts in texts: from a table, with denials; carried over to tokens; and which feature goes with which."""

import numpy as np
import pytest
import torch
from planted_text import EITHER, KNOWN, OTHER_RANDOM, RANDOM, WORD, planted_material
from scipy.stats import fisher_exact
from tiny_models import tiny_tokenizer

from sae.annotated_text import TextSpan
from sae.dictionary.feature_acts import FeatureActs
from sae.interpretation.concept_text import place_mentions
from sae.interpretation.encoded_text import text_of_acts
from sae.interpretation.negation import status_of
from sae.interpretation.ontology import read_ontology
from sae.interpretation.ontology_explainer import associations, best_concepts
from sae.interpretation.roles import Role

TABLE = """concept_id\tname\tsynonyms\tparents
c1\tfever\thigh temperature|pyrexia\tc3
c2\trash\texanthem\tc3
c3\tsign\t\t
c4\thigh fever\t\tc1
"""


@pytest.fixture
def ontology(tmp_path):
    (tmp_path / "o.tsv").write_text(TABLE, encoding="utf-8")
    return read_ontology(tmp_path / "o.tsv")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("She has [fever].", "affirmed"),
        ("She denies [fever].", "negated"),
        ("He denies cough, rash and [fever].", "negated"),
        ("No cough, but [fever] since Monday.", "affirmed"),
        ("There is no cough. Now [fever].", "affirmed"),
        ("Absent: [fever].", "negated"),
        ("[fever] was ruled out.", "negated"),
        ("Her mother had [fever].", "family"),
        ("Family history: [fever].", "family"),
        ("[fever] in the father.", "family"),
        ("Nobody knows the [fever].", "affirmed"),
    ],
)
def test_denials_and_relatives(text, status):
    start, end = text.index("["), text.index("]") - 1
    assert status_of(text.replace("[", "").replace("]", ""), start, end) == status


def test_synonyms_parents_and_the_longest_phrase(ontology):
    found = ontology.mentions("Pyrexia and EXANTHEM; feverish. High fever, no high  temperature")

    assert [(each.concept, each.start) for each in found] == [
        ("c1", 0), ("c3", 0), ("c2", 12), ("c3", 12), ("c4", 32), ("c1", 32), ("c3", 32),
        ("not c1", 47), ("not c3", 47),
    ]  # fmt: skip
    assert ontology.names()["not c1"] == "not fever"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name\tsynonyms\nfever\t\n", "lacks the columns concept_id, parents"),
        (TABLE + "c1\tagain\t\t\n", "has concept_id 'c1' twice"),
        (TABLE + "c5\t\t\t\n", "line 6 of ontology .* has no concept_id or no name"),
        (TABLE + "c5\tcough\t\tc9\n", "concept 'c5' has the parent 'c9', which is no concept_id"),
        (TABLE.replace("c3\tsign\t\t", "c3\tsign\t\tc4"), "concept 'c1' is its own ancestor"),
        (TABLE.splitlines()[0], "has no concept"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path, table, message):
    (tmp_path / "o.tsv").write_text(table, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_ontology(tmp_path / "o.tsv")


def test_a_table_that_is_missing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no ontology at"):
        read_ontology(tmp_path / "none.tsv")


def two_documents():
    texts = ["w1 w2 w3", "w2 w2 w5 w6"]
    rows = [torch.tensor([5, 6, 7]), torch.tensor([6, 6, 9])]  # the second is cut
    acts = FeatureActs.from_dense(torch.zeros(6, 2))
    return text_of_acts(texts, rows, acts, [Role.EXPLAIN, Role.SCORE])


def test_mentions_are_carried_over_from_characters_to_tokens():
    said = place_mentions(
        two_documents(), [[TextSpan(3, 8, "b")], [TextSpan(0, 1, "a"), TextSpan(9, 11, "b")]], tiny_tokenizer()
    )

    assert said.concepts == ("a", "b")
    assert said.expressed("b", 6).tolist() == [False, True, True, False, False, False]
    assert said.expressed("a", 6).tolist() == [False, False, False, True, False, False]


def test_a_tokenizer_without_characters_is_refused():
    with pytest.raises(ValueError, match="does not say which characters a token stands for"):
        place_mentions(two_documents(), [[], []], object())


def test_association_is_that_of_every_pair_counted_alone():
    material = planted_material(300)
    text, windows = material.text, material.windows
    found = associations(windows, [WORD, EITHER, RANDOM], material.concepts)
    inside = windows.has_role(Role.EXPLAIN)
    documents = text.roles == Role.EXPLAIN
    p = np.zeros((3, 3))
    for row, feature in enumerate((WORD, EITHER, RANDOM)):
        for column, concept in enumerate(material.concepts.concepts):
            expressed = material.concepts.expressed(concept, len(text.token_ids))
            fired, said = (windows.strongest(feature) > 0)[inside], windows.hold(expressed)[inside]
            f1 = 2 * int((fired & said).sum()) / (int(fired.sum()) + int(said.sum()))
            assert found.f1[row, column] == pytest.approx(f1)
            fired, said = torch.zeros(2, len(text.texts), dtype=torch.bool)
            fired[text.document_of_token[text.firings(feature)[0]]] = True
            said[text.document_of_token[expressed]] = True
            table = [[int((a & b)[documents].sum()) for b in (said, ~said)] for a in (fired, ~fired)]
            p[row, column] = fisher_exact(table, alternative="greater").pvalue
    order = p.flatten().argsort()
    q = np.minimum.accumulate((p.flatten()[order] * 9 / np.arange(1, 10))[::-1])[::-1]
    np.testing.assert_allclose(found.q.flatten()[order], np.minimum(q, 1), rtol=1e-6, atol=1e-12)


def test_random_features_have_no_concept():
    material = planted_material()
    features = [*KNOWN, RANDOM, OTHER_RANDOM]
    best = best_concepts(associations(material.windows, features, material.concepts), material.concepts)

    assert best[0] == "fever"
    assert best[-2:] == [None, None]
