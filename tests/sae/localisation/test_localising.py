"""Features that are known to localise, and labels that mean nothing."""

import json
import random
from dataclasses import replace
from io import StringIO

import pytest
import torch
from click.testing import CliRunner
from labelled_cases import ILL, embedding_sae, ill_documents, told
from rich.console import Console
from tiny_models import save_tiny_llama

from sae.annotated_text import TextSpan
from sae.cli import main
from sae.host.host import HostModel
from sae.localisation.labelled_tokens import label_tokens
from sae.localisation.localising import localise
from sae.localisation.permutation_null import permuted_mentions
from sae.localisation.terminal_view import render_localisation

FEATURES = [["w7", "w8"], ["w20", "w21", "w22"], ["w5", "w6"], ["w5"]]


@pytest.fixture(scope="module")
def found(tiny_host):
    sae = embedding_sae(tiny_host, FEATURES)
    other = [told(["w1", "w6", "w2"], {"w6": "fever"}) for _ in range(10)]
    return localise(tiny_host, sae, ill_documents(), unseen=other, n_permutations=20)


def scores(row, arm="features"):
    return {name: measurement.value for name, measurement in getattr(row, arm).items()}


def test_planted_features_are_found_and_score_one(found):
    chosen = {row.concept: row.feature for row in found.held_out.concepts}
    assert chosen == {"fever": 2, "cough": 0}
    for row in found.held_out.concepts:
        assert [scores(row)[name] for name in ("pointing", "precision", "recall", "f1", "iou", "auprc")] == [1.0] * 6
        assert row.f1_when_chosen == 1.0
        assert (row.features["f1"].low, row.features["f1"].high) == (1.0, 1.0)


def test_one_token_type_tells_one_synonym_only(found):
    for row in found.held_out.concepts:
        assert row.token_type in ILL[row.concept]
        assert scores(row, "token_types")["precision"] == 1.0
        assert 0.3 < scores(row, "token_types")["recall"] < 0.8
        assert row.token_types["f1"].low < scores(row, "token_types")["f1"] < row.token_types["f1"].high


def test_nulls_are_below(found):
    [family] = [row for row in found.held_out.families if row.family == "all"]
    assert family.n_above_null == family.n_concepts == 2
    # with two concepts every other mention keeps its name
    assert family.permuted_f1 < 0.75
    assert scores(family)["pointing_chance"] == pytest.approx(0.1, abs=0.02)
    assert scores(family, "random_directions")["f1"] < 0.75


def test_other_words_are_scored_with_the_features_of_the_first(found):
    assert [row.concept for row in found.unseen.concepts] == ["fever"]
    assert scores(found.unseen.concepts[0])["f1"] == 1.0
    assert found.unseen.concepts[0].permuted_f1 is None


def test_labels_that_mean_nothing_are_not_above_their_null(tiny_host):
    rng = random.Random(1)
    documents = []
    for document in ill_documents(160):
        start = 3 * rng.randrange(3)
        documents.append(replace(document, concepts=(TextSpan(start, start + 2, rng.choice("abcdef")),)))
    table = localise(tiny_host, embedding_sae(tiny_host, FEATURES), documents, n_permutations=40).held_out
    [family] = [row for row in table.families if row.family == "all"]
    assert scores(family)["f1"] < 0.1
    assert family.n_above_null <= 2


def test_permuted_mentions_stay_in_their_half(tiny_host):
    labelled = label_tokens(tiny_host, ill_documents())
    order = permuted_mentions(labelled, torch.Generator().manual_seed(0))
    half = labelled.in_split_b[labelled.mention_documents]
    assert order.sort().values.tolist() == list(range(len(order)))
    assert half[order].tolist() == half.tolist()
    assert order.tolist() != list(range(len(order)))


def test_what_is_too_rare_is_left_out(tiny_host):
    documents = ill_documents()
    documents[0] = replace(documents[0], concepts=(*documents[0].concepts, TextSpan(0, 1, "rare")))
    table = localise(tiny_host, embedding_sae(tiny_host, FEATURES), documents, n_permutations=0).held_out
    assert table.left_out == {"rare": 1}
    assert table.families[0].permuted_f1 is None


@pytest.mark.parametrize(
    ("n", "concepts", "message"),
    [
        (6, None, "none of 2 concepts is told by 8 documents"),
        (60, ["fevr"], "unknown concepts: 'fevr' .nearest: 'fever'"),
    ],
)
def test_too_little_or_unknown(tiny_host, n, concepts, message):
    with pytest.raises(ValueError, match=message):
        localise(tiny_host, embedding_sae(tiny_host, FEATURES), ill_documents(n), concepts=concepts)


def test_the_table_names_its_nulls(found):
    console = Console(width=80, file=StringIO())
    console.print(render_localisation(found))
    text = console.file.getvalue()
    for expected in ("Pointing hit rate", "permuted concept labels", "1.00 [1.00, 1.00]", "fever", "other words"):
        assert expected in " ".join(text.split())


def test_the_command(tmp_path):
    save_tiny_llama(tmp_path / "host")
    host = HostModel.load(str(tmp_path / "host"))
    embedding_sae(host, FEATURES).save(tmp_path / "sae")
    lines = [{"text": each.text, "concepts": [vars(span) for span in each.concepts]} for each in ill_documents()]
    labels = tmp_path / "labels.jsonl"
    labels.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    base = ["localise", str(tmp_path / "sae"), "--model", str(tmp_path / "host"), "--out", str(tmp_path / "out")]
    run = CliRunner().invoke(main, [*base, "--labels", str(labels), "--permutations", "3", "--json"])
    assert run.exit_code == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["held_out"]["families"][0]["features"]["f1"]["value"] == 1.0
    assert json.loads((tmp_path / "out" / "report.json").read_text("utf-8")) == found
    assert CliRunner().invoke(main, base).exit_code == 2
    run = CliRunner().invoke(main, [*base, "--corpus", "clinic:broad", "--force"])
    assert run.exit_code == 1
    assert "does not say what its texts express" in run.stderr
    assert run.stderr.count("\n") == 1
