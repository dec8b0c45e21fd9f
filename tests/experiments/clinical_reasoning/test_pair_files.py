"""Files of pairs: there and back, and every mistake in one line that names it."""

import gzip
import json
from itertools import islice

import pytest
from transformers import AutoTokenizer

from experiments.clinical_reasoning.clinic_pairs import ClinicPairs
from experiments.clinical_reasoning.pair_files import FilePairs, as_circuit_pair, read_vignette_pairs, write_pairs
from sae.bundle import find_bundle
from sae.prompt_pairs import read_pairs

BUNDLE = find_bundle("clinic")
pytestmark = pytest.mark.skipif(BUNDLE is None, reason="the bundled model is not in this checkout")

LINE = {
    "prompt": "An old man with cough. Diagnosis:",
    "changed_prompt": "An old man with fever. Diagnosis:",
    "answer": "asthma",
    "changed_answer": "malaria",
    "kind": "finding",
    "spans": [{"start": 16, "end": 21, "concept": "pos:cough"}],
    "changed_spans": [{"start": 16, "end": 21, "concept": "pos:fever"}],
}


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(BUNDLE.host)


def read(tmp_path, tokenizer, *lines):
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
    return read_vignette_pairs(path, tokenizer)


def test_what_is_written_is_read(tmp_path, tokenizer):
    source = ClinicPairs(tokenizer)
    pairs = [pair for kind in ("finding", "exception", "history") for pair in islice(source.pairs(kind, seed=3), 4)]
    path = tmp_path / "pairs.jsonl"
    write_pairs(path, pairs)
    assert read_vignette_pairs(path, tokenizer) == pairs
    from_file = list(FilePairs(path, tokenizer).pairs("history", seed=0))
    assert sorted(from_file, key=lambda pair: pair.prompt) == sorted(pairs[8:], key=lambda pair: pair.prompt)
    assert list(FilePairs(path, tokenizer).pairs("history", seed=0)) == from_file
    assert list(FilePairs(path, tokenizer).pairs("value", seed=0)) == []


def test_compressed_files_are_read(tmp_path, tokenizer):
    path = tmp_path / "pairs.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(LINE).encode()))
    assert read_vignette_pairs(path, tokenizer)[0].answer == "asthma"


def test_optional_fields_may_be_missing(tmp_path, tokenizer):
    bare = {name: LINE[name] for name in ("prompt", "changed_prompt", "answer", "changed_answer", "kind")}
    first, second = read(tmp_path, tokenizer, bare, "", bare)
    assert first.spans == ()
    assert (first.template, second.template) == ("line 1", "line 3")


def test_pairs_go_to_circuits(tmp_path, tokenizer):
    (pair,) = read(tmp_path, tokenizer, LINE)
    path = tmp_path / "for_circuits.jsonl"
    path.write_text(json.dumps(as_circuit_pair(pair)), "utf-8")
    (other,) = read_pairs(path)
    assert (other.clean_prefix, other.patch_answer) == (pair.prompt, " malaria")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": " "}, r"prompt in line 1 of .* is ' ', expected a text; add it"),
        ({"prompt": "Diagnosis: "}, r"prompt in line 1 of .* ends with a space, .*; take it off"),
        ({"answer": None}, r"answer in line 1 of .* is None, expected a text"),
        ({"kind": "colour"}, r"kind in line 1 of .* is 'colour', expected one of finding, .*; choose one"),
        ({"template": 3}, r"template in line 1 of .* is 3, expected a text"),
        ({"decisive": "pos:cough"}, r"decisive in line 1 of .* is 'pos:cough', expected a list"),
        ({"spans": [[1, 2]]}, r"spans in line 1 of .* expected a list of \{start, end, concept\}"),
        ({"spans": 3}, r"spans in line 1 of .* is 3, expected a list"),
        ({"spans": [{"start": 3, "end": 900, "concept": "x"}]}, r"spans in line 1 of .* marks 'x' at 3 to 900"),
        ({"prompts": 1}, r"line 1 of .* has the field 'prompts', expected some of prompt, .*; rename or drop it"),
        ({"changed_prompt": "A man with fever. Diagnosis:"}, r"line 1 of .*: prompt has 9 tokens, changed_prompt 8"),
        ({"changed_prompt": LINE["prompt"]}, r"line 1 of .*: prompt and changed_prompt are the same"),
        ({"changed_answer": "asthma attack"}, r"line 1 of .*: answers .* begin with the same token ' asthma'"),
        ({"spans": [{"start": 0, "end": 6, "concept": "demo:old"}]}, r"' cough', differs outside the spans"),
    ],
)
def test_mistakes_are_named(tmp_path, tokenizer, change, message):
    with pytest.raises(ValueError, match=message) as raised:
        read(tmp_path, tokenizer, {**LINE, **change})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("line", "message"), [("[]", "is no JSON object"), ("{", "is not valid JSON"), ("", "holds no pair")]
)
def test_lines_that_are_no_object_are_named(tmp_path, tokenizer, line, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, tokenizer, line)


def test_a_missing_file_is_named(tmp_path, tokenizer):
    with pytest.raises(ValueError, match="does not exist"):
        FilePairs(tmp_path / "none.jsonl", tokenizer)
