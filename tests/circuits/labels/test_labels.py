"""Labels from files into circuits and dictionaries and back, by the library and by the command."""

import json

import pytest
from click.testing import CliRunner
from example_circuits import example_circuit
from tiny_models import random_sae

from circuits.cli import main
from circuits.graph.circuit import Circuit
from circuits.labels.label_files import read_labels, write_labels
from circuits.labels.naming import circuit_labels, label_circuit, label_saes
from sae.dictionary.labels import FeatureLabel, load_labels, save_labels
from sae.host.sites import Site

SITE = Site("resid_post", 1)
LINE = {"site": "resid_post.1", "feature": 7, "label": "fever", "score": 0.9}


def written(tmp_path, *records):
    path = tmp_path / "labels.jsonl"
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in records), encoding="utf-8")
    return path


def saved_sae(root, site=SITE):
    path = root / str(site)
    random_sae(32, 64, site).save(path)
    return path


def run(*args):
    return CliRunner().invoke(main, ["labels", *map(str, args)])


BAD = [
    ("{", "Expecting property name"),
    ("[]", "expected site, feature, label and score"),
    ({"site": "resid_post.1", "feature": 7, "label": "x"}, "expected site, feature, label and score"),
    ({**LINE, "site": "nowhere"}, "unknown site kind"),
    ({**LINE, "feature": -1}, "feature is -1, expected an index from 0"),
    ({**LINE, "feature": True}, "feature is True"),
    ({**LINE, "feature": "7"}, "feature is '7'"),
    ({**LINE, "label": "  "}, "label is '  ', expected a text"),
    ({**LINE, "score": 1.5}, r"score is 1.5, expected a number in \[0, 1\]"),
    ({**LINE, "score": None}, "score is None"),
    ('{"site": "resid_post.1", "feature": 8, "label": "x", "score": NaN}', "score is nan"),
    (LINE, "feature 7 of resid_post.1 has a label already"),
]


@pytest.mark.parametrize(("line", "message"), BAD)
def test_a_bad_line_is_named(tmp_path, line, message):
    path = written(tmp_path, LINE, "", line)
    with pytest.raises(ValueError, match=rf"line 3 of .*labels.jsonl' is no label: .*({message})"):
        read_labels(path)


def test_nothing_to_read_is_said(tmp_path):
    with pytest.raises(ValueError, match="holds no label"):
        read_labels(written(tmp_path, ""))
    with pytest.raises(ValueError, match="cannot be read"):
        read_labels(tmp_path / "missing.jsonl")
    with pytest.raises(ValueError, match="holds neither a circuit nor an SAE"):
        read_labels(tmp_path)


def test_a_file_survives_a_round_trip(tmp_path):
    labels = {(SITE, 7): FeatureLabel("Fieber, 39 °C", 0.25), (Site("embed", None), 3): FeatureLabel("x", 1.0)}
    write_labels(labels, tmp_path / "out.jsonl")
    assert read_labels(tmp_path / "out.jsonl") == labels


def test_labels_beside_dictionaries_are_read(tmp_path):
    path = saved_sae(tmp_path / "saes")
    save_labels(path, {7: FeatureLabel("fever", 0.2)}, source="test")
    expected = {(SITE, 7): FeatureLabel("fever", 0.2)}
    assert read_labels(tmp_path / "saes") == read_labels(path) == read_labels(path / "labels.json") == expected


@pytest.mark.parametrize("overview", [True, False])
def test_what_sae_features_prints_is_read(tmp_path, overview):
    one = {"feature": 7, "label": {"text": "fever", "f1": 0.9}}
    report = {"features": [one, {"feature": 8, "label": None}]} if overview else one
    path = tmp_path / "features.json"
    path.write_text(json.dumps({"source": {"site": "resid_post.1"}, **report}), encoding="utf-8")
    assert read_labels(path) == {(SITE, 7): FeatureLabel("fever", 0.9)}
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="is not what `sae features --json` prints"):
        read_labels(path)


def test_a_label_is_shown_from_its_score_on():
    circuit = example_circuit()
    first, second, third = circuit.features[:3]
    labels = {
        (first.site, first.feature): FeatureLabel("at", 0.5),
        (second.site, second.feature): FeatureLabel("below", 0.49),
    }
    named = label_circuit(circuit, labels, min_score=0.5, source={"source": "x.jsonl"})
    shown = {node.id: (node.label, node.label_f1) for node in named.nodes}
    assert shown[first.id] == ("at", 0.5)
    assert shown[second.id] == (None, None)
    assert shown[third.id] == (third.label, third.label_f1)
    assert named.provenance["labels"] == [{"source": "x.jsonl", "min_score": 0.5}]
    assert len(label_circuit(named, labels, min_score=0.1, source={}).provenance["labels"]) == 2


def test_labels_go_beside_weights_and_others_stay(tmp_path):
    path = saved_sae(tmp_path)
    save_labels(path, {3: FeatureLabel("rash", 0.8), 7: FeatureLabel("old", 0.6)}, source="test")
    assert label_saes({SITE: path}, {(SITE, 7): FeatureLabel("fever", 0.9)}, source="x") == {SITE: 1}
    assert load_labels(path) == {3: FeatureLabel("rash", 0.8), 7: FeatureLabel("fever", 0.9)}


def test_labels_that_fit_no_dictionary_are_refused_before_anything_is_written(tmp_path):
    path = saved_sae(tmp_path)
    fits = {(SITE, 7): FeatureLabel("fever", 0.9)}
    with pytest.raises(ValueError, match=r"feature 64 is not in the SAE at resid_post.1, expected 0 to 63"):
        label_saes({SITE: path}, {**fits, (SITE, 64): FeatureLabel("x", 1.0)}, source="x")
    with pytest.raises(ValueError, match=r"there are labels for embed, but the SAEs are at resid_post.1"):
        label_saes({SITE: path}, {**fits, (Site("embed", None), 0): FeatureLabel("x", 1.0)}, source="x")
    assert not (path / "labels.json").exists()


def test_a_bundle_keeps_its_labels(tmp_path):
    (tmp_path / "manifest.json").write_text("{}", encoding="utf-8")
    path = saved_sae(tmp_path / "clinical")
    with pytest.raises(ValueError, match="is part of a bundle, whose files are checked; copy it"):
        label_saes({SITE: path}, {(SITE, 7): FeatureLabel("fever", 0.9)}, source="x")


def test_the_command_names_a_circuit_and_draws_its_page_and_picture_again(tmp_path):
    circuit = example_circuit()
    circuit.save(tmp_path / "c")
    for file in ("circuit.html", "circuit.png"):
        (tmp_path / "c" / file).write_text("old", encoding="utf-8")
    node = circuit.features[0]
    place = {"site": str(node.site), "feature": node.feature}
    path = written(tmp_path, {**place, "label": "a new name", "score": 0.7}, {**LINE, "feature": 5000, "score": 0.1})
    result = run("import", tmp_path / "c", path, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["labels"], found["below_min_score"], found["named"]) == (2, 1, 1)
    read = Circuit.load(tmp_path / "c")
    assert circuit_labels(read)[node.site, node.feature] == FeatureLabel("a new name", 0.7)
    assert read.provenance["labels"][0]["source"] == "labels.jsonl"
    assert "a new name" in (tmp_path / "c" / "circuit.html").read_text(encoding="utf-8")
    assert (tmp_path / "c" / "circuit.png").read_bytes().startswith(b"\x89PNG")
    assert "labels in" in run("import", tmp_path / "c" / "circuit.json", path).stdout


def test_the_command_exports_a_circuit_and_dictionaries(tmp_path):
    example_circuit().save(tmp_path / "c")
    assert run("export", tmp_path / "c", tmp_path / "out.jsonl", "--min-score", "0.8").exit_code == 0
    assert all(label.f1 >= 0.8 for label in read_labels(tmp_path / "out.jsonl").values())
    again = run("export", tmp_path / "c", tmp_path / "out.jsonl")
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    saved_sae(tmp_path / "saes")
    assert run("import", tmp_path / "saes", written(tmp_path, LINE)).exit_code == 0
    assert run("export", tmp_path / "saes", tmp_path / "saes.jsonl", "--json").exit_code == 0
    assert read_labels(tmp_path / "saes.jsonl") == {(SITE, 7): FeatureLabel("fever", 0.9)}


def test_a_bad_line_is_one_line_for_the_user(tmp_path):
    example_circuit().save(tmp_path / "c")
    result = run("import", tmp_path / "c", written(tmp_path, LINE, {**LINE, "score": 2}))
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: line 2 of ")
    assert result.stderr.count("\n") == 1
