import json

import pytest

from circuits.prompts.feature_circuits_pairs import feature_circuits_pairs
from sae.prompt_pairs import read_pairs

LINE = {"clean_prefix": "The nurse near the beds", "patch_prefix": "The nurses near the beds", "clean_answer": " waits",
        "patch_answer": " wait", "case": "singular_plural"}  # fmt: skip


def lines(*records):
    return [record if isinstance(record, str) else json.dumps(record) for record in records]


def test_texts_stay_and_the_case_is_the_template():
    expected = {key: value for key, value in LINE.items() if key != "case"}
    assert feature_circuits_pairs(lines(LINE, "", LINE)) == [{**expected, "template": "singular_plural"}] * 2


def test_words_become_spans():
    (record,) = feature_circuits_pairs(lines(LINE), by_word=True)
    found = [LINE["clean_prefix"][first:end] for first, end in record["spans"].values()]
    assert found == ["The", "nurse", "near", "the", "beds"]
    assert list(record["spans"]) == [f"word {i}" for i in range(1, 6)]


@pytest.mark.parametrize("by_word", [False, True])
def test_our_reader_takes_them(tmp_path, by_word):
    path = tmp_path / "pairs.jsonl"
    records = feature_circuits_pairs(lines(LINE, {**LINE, "case": None}), by_word=by_word)
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    pairs = read_pairs(path)
    assert [pair.template for pair in pairs] == ["singular_plural", None]
    assert pairs[0].clean_answer == " waits"
    assert len(pairs[0].spans) == (5 if by_word else 0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is not valid JSON"),
        ("[]", "line 2 is no JSON object"),
        ({"context": ["a"], "answer": "b"}, "line 2 has no text 'clean_prefix'"),
        ({**LINE, "patch_answer": " "}, "line 2 has no text 'patch_answer'"),
    ],
)
def test_a_bad_line_is_named(line, message):
    with pytest.raises(ValueError, match=message):
        feature_circuits_pairs(lines(LINE, line))


def test_words_must_agree_in_number():
    with pytest.raises(ValueError, match=r"patch_prefix of line 2 has 2 words, the first clean_prefix has 5"):
        feature_circuits_pairs(lines(LINE, {**LINE, "patch_prefix": "The nurses"}), by_word=True)


def test_an_empty_file_has_no_pair():
    with pytest.raises(ValueError, match="there is no pair"):
        feature_circuits_pairs([])
