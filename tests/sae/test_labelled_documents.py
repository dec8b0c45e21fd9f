import gzip
import json

import pytest

from sae.annotated_text import AnnotatedText, TextSpan
from sae.labelled_documents import check_concepts, read_label_file, read_parents

FEVER = {"text": "no fever", "concepts": [{"start": 3, "end": 8, "concept": "neg:fever"}]}


def write(path, *records):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8") as stream:
        stream.writelines(json.dumps(record) + "\n" for record in records)
    return path


@pytest.mark.parametrize("name", ["labels.jsonl", "labels.jsonl.gz"])
def test_a_label_file(tmp_path, name):
    found = read_label_file(write(tmp_path / name, FEVER, {"text": "cough", "classes": ["lung"]}))
    assert found == [
        AnnotatedText("no fever", (TextSpan(3, 8, "neg:fever"),)),
        AnnotatedText("cough", classes=("lung",)),
    ]
    assert [document.targets for document in found] == [{"neg:fever"}, {"lung"}]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"concepts": []}, r"line 2 of .* is not \{text, concepts"),
        ([1], "line 2 of .* is not"),
        ({**FEVER, "concepts": [{"start": 3, "end": 9, "concept": "x"}]}, "marks 'x' at 3 to 9, .* its 8 characters"),
        ({**FEVER, "concepts": [{"start": 3, "end": 3, "concept": "x"}]}, "marks 'x' at 3 to 3"),
        ({**FEVER, "concepts": [{"start": 3, "end": 5, "concept": 7}]}, "line 2 of .* not a string"),
        ({**FEVER, "concepts": 5}, "line 2 of .* is not"),
    ],
)
def test_a_bad_line_is_named(tmp_path, record, message):
    with pytest.raises(ValueError, match=message):
        read_label_file(write(tmp_path / "labels.jsonl", FEVER, record))


def test_a_label_file_without_labels(tmp_path):
    with pytest.raises(ValueError, match="marks no concept"):
        read_label_file(write(tmp_path / "labels.jsonl", {"text": "a", "concepts": []}))
    with pytest.raises(ValueError, match=r"label file .*none\.jsonl does not exist"):
        read_label_file(tmp_path / "none.jsonl")


def test_unknown_concepts_are_one_line():
    check_concepts(["a"], ["a", "b"], what="--concepts")
    with pytest.raises(ValueError, match=r"--concepts has 1 unknown concepts: 'pos:fevr' \(nearest: 'pos:fever'\)"):
        check_concepts(["pos:fevr"], ["pos:fever"], what="--concepts")
    with pytest.raises(ValueError, match=r"has 9 unknown concepts: .* and 4 more; expected some of the 1 known"):
        check_concepts([str(n) for n in range(9)], ["fever"], what="labels.jsonl")


def test_an_ontology(tmp_path):
    path = tmp_path / "ontology.tsv"
    path.write_text("flu\tviral\nviral\tinfection\n\nflu\tlung\n", encoding="utf-8")
    assert read_parents(path) == {"flu": ("viral", "lung"), "viral": ("infection",)}


@pytest.mark.parametrize(
    ("text", "message"),
    [("flu\n", "line 1 of .*'flu', expected a child, a tab"), ("a\tb\nb\ta\n", "'a' its own ancestor")],
)
def test_a_bad_ontology(tmp_path, text, message):
    path = tmp_path / "ontology.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_parents(path)
    with pytest.raises(ValueError, match="does not exist"):
        read_parents(tmp_path / "none.tsv")
