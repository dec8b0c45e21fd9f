import json

import pytest
from circuit_cases import host

from circuits.prompts.behaviour import describe_behaviour
from circuits.prompts.pairs import align_pairs, check_lengths
from sae.prompt_pairs import Pair, read_pairs

GOOD = {"clean_prefix": "w1 w2 w3", "patch_prefix": "w1 w7 w3", "clean_answer": "w8", "patch_answer": "w9"}


def written(path, *records):
    path.write_text("\n".join(record if isinstance(record, str) else json.dumps(record) for record in records))
    return path


def test_fields_and_line_numbers(tmp_path):
    path = written(tmp_path / "pairs.jsonl", "", {**GOOD, "spans": {"second": [3, 5]}, "template": "t"})
    [pair] = read_pairs(path)
    assert pair == Pair("w1 w2 w3", "w1 w7 w3", "w8", "w9", {"second": (3, 5)}, "t", 2)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1 of .* is not valid JSON"),
        ("[1]", "line 1 of .* is no JSON object"),
        ({**GOOD, "patch_answer": None}, "line 1 of .* has no text 'patch_answer'"),
        ({key: value for key, value in GOOD.items() if key != "clean_prefix"}, "has no text 'clean_prefix'"),
        ({**GOOD, "clean_answer": " "}, "has no text 'clean_answer'"),
        ({**GOOD, "template": 3}, "template in line 1 .* is 3"),
        ({**GOOD, "spans": [1, 2]}, r"spans in line 1 .* is \[1, 2\]"),
        ({**GOOD, "spans": {"a": [5, 3]}}, r"span 'a' in line 1 .* is \[5, 3\]"),
        ({**GOOD, "spans": {"a": [0, 99]}}, r"span 'a' in line 1 .* is \[0, 99\]"),
        ({**GOOD, "spans": {"a": [0, 4], "b": [2, 5]}}, r"span 'b' in line 1 .* reading order and apart"),
        ({**GOOD, "spans": {"a": [0, True]}}, r"span 'a' in line 1"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_pairs(written(tmp_path / "pairs.jsonl", line))
    assert "\n" not in str(caught.value)


def test_an_empty_and_a_missing_file(tmp_path):
    with pytest.raises(ValueError, match="holds no pair"):
        read_pairs(written(tmp_path / "pairs.jsonl", "\n"))
    with pytest.raises(ValueError, match=r"missing.jsonl' cannot be read"):
        read_pairs(tmp_path / "missing.jsonl")


def test_all_pairs_have_the_same_spans(tmp_path):
    path = written(tmp_path / "pairs.jsonl", {**GOOD, "spans": {"a": [0, 2]}}, {**GOOD, "spans": {"b": [0, 2]}})
    with pytest.raises(ValueError, match=r"line 2 of .* has the spans \['b'\], line 1 \['a'\]"):
        read_pairs(path)


def pair(clean, patch, *, line=1, **spans):
    return Pair(clean, patch, "w8", "w9", spans, line=line)


def test_unequal_prefixes_are_refused_with_their_lines():
    pairs = [pair("w1 w2", "w1 w3"), pair("w1 w2", "w1 w2 w3", line=2), pair("w1 w2 w3", "w1", line=5)]
    with pytest.raises(ValueError, match="line 2 has 3 and 4, line 5 has 4 and 2; reword or drop"):
        check_lengths(host(), pairs)


def test_pairs_of_several_lengths_need_spans():
    pairs = [pair("w1 w2", "w1 w3"), pair("w1 w4", "w1 w3"), pair("w1 w2 w3", "w1 w2 w4", line=7)]
    with pytest.raises(ValueError, match="most have 3; line 7 has 4; name spans"):
        check_lengths(host(), pairs)
    check_lengths(host(), [pair("w1 w2", "w1 w3", a=(0, 2)), pair("w1 w2 w3", "w1 w2 w4", a=(0, 2))])


def test_spans_in_characters_become_places_of_tokens():
    """One token a word, BOS in front: `w1 w22 w3` begins its tokens at characters 0, 3 and 7."""
    pairs = [pair("w1 w22 w3 w4", "w1 w23 w3 w4", middle=(3, 6)), pair("w5 w6 w7", "w5 w9 w7", middle=(0, 5))]
    behaviours = [
        describe_behaviour(host(), each.clean_prefix, contrast=each.patch_prefix, target="w8", foil="w9")
        for each in pairs
    ]
    places = align_pairs(host(), pairs, behaviours)
    assert places.names == ("start", "middle", "after middle", "last token")
    assert [row.tolist() for row in places.of_position] == [[0, 0, 1, 2, 3], [0, 1, 1, 3]]
