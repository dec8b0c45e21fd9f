"""Corpus SPECs: what each form gives, how parts mix, and what is refused."""

import gzip
import json
import logging
import sys
from importlib.metadata import EntryPoint
from itertools import islice
from types import SimpleNamespace

import pytest

from sae import corpora
from sae.annotated_text import AnnotatedText
from sae.corpora import CorpusPart, mix, parse_corpus, read_corpus
from sae.corpus_knowledge import annotated_texts, answer_prompts


@pytest.fixture
def write_jsonl(tmp_path):
    def write(name, *texts):
        opener = gzip.open if name.endswith(".gz") else open
        with opener(tmp_path / name, "wt", encoding="utf-8") as file:
            file.writelines(json.dumps({"text": text, "source": "x"}) + "\n" for text in texts)
        return str(tmp_path / name)

    return write


def counting_corpus(name, *, seed, start="0"):
    if name != "numbers":
        raise ValueError(f"unknown corpus {name!r}")
    return (f"{seed}/{number}" for number in range(int(start), 10**9))


def counting_prompts(name, *, seed):
    return None if name == "letters" else (f"after {seed}/{number}" for number in range(10**9))


@pytest.fixture
def registered(monkeypatch):
    source = EntryPoint("counting", f"{__name__}:counting_corpus", corpora.ENTRY_POINT_GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: counting_corpus)
    monkeypatch.setattr(corpora, "entry_points", lambda group: [source])


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "with+plus.jsonl"])
def test_json_lines(write_jsonl, name):
    assert list(read_corpus(write_jsonl(name, "one", "zwei\nü"))) == ["one", "zwei\nü"]


def test_plain_text_is_split_at_blank_lines(tmp_path):
    (tmp_path / "a.txt").write_text("one\nstill one\n\n\n \ntwo\n")

    assert list(read_corpus(str(tmp_path / "a.txt"))) == ["one\nstill one", "two"]


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"id": [1, 2], "text": ["one", "two"]}), tmp_path / "a.parquet")

    assert list(read_corpus(str(tmp_path / "a.parquet"))) == ["one", "two"]


def test_a_directory_is_all_documents_of_its_files_shuffled_by_the_seed(tmp_path):
    (tmp_path / "a.txt").write_text("\n\n".join(f"a{number}" for number in range(20)))
    (tmp_path / "b.txt").write_text("\n\n".join(f"b{number}" for number in range(20)))
    (tmp_path / "notes.md").write_text("not a corpus")
    texts = list(read_corpus(str(tmp_path)))
    assert sorted(texts) == sorted([*(f"a{n}" for n in range(20)), *(f"b{n}" for n in range(20))])
    assert texts == list(read_corpus(str(tmp_path)))
    assert texts != list(read_corpus(str(tmp_path), seed=1))
    assert len(list(read_corpus(f"0.5*{tmp_path}+0.5*{tmp_path}"))) == 80


def test_a_directory_without_text_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no text file, expected an ending among"):
        read_corpus(str(tmp_path))


@pytest.fixture
def books(tmp_path):
    """A directory with the texts of three books, and something else."""
    directory = tmp_path / "books"
    directory.mkdir()
    for name in ("history_a", "history_b", "poems"):
        (directory / f"{name}.txt").write_text("\n\n".join(f"{name} {number}" for number in range(20)))
    (directory / "history_notes.md").write_text("not a corpus")
    return directory


@pytest.mark.parametrize("pattern", ["history_*.txt", "history_*", "history_?.txt"])
def test_a_pattern_is_the_files_of_a_directory_that_match_it(books, pattern):
    texts = list(read_corpus(f"{books}/{pattern}"))
    assert sorted(texts) == sorted(f"history_{book} {number}" for book in "ab" for number in range(20))
    assert texts == list(read_corpus(f"{books}/{pattern}"))
    assert texts != list(read_corpus(f"{books}/{pattern}", seed=1))


def test_a_pattern_of_every_file_is_the_directory(books):
    assert list(read_corpus(f"{books}/*")) == list(read_corpus(str(books)))


def test_a_pattern_in_a_mixture_keeps_its_star(books):
    texts = list(islice(read_corpus(f"0.75*{books}/history_*+0.25*{books}/poems.txt"), 8))
    assert sum(text.startswith("poems") for text in texts) == 2


def test_a_file_whose_name_holds_a_star_is_that_file(books):
    (books / "a*.txt").write_text("of its own")
    (books / "abc.txt").write_text("another")
    assert list(read_corpus(f"{books}/a*.txt")) == ["of its own"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("books/novel_*.txt", "matches none of the 3 text files in .*books'?, expected one at least"),
        ("books/*.md", "matches none of the 3 text files"),
        ("nowhere/*.txt", "there is no directory '.*nowhere'; check the path"),
        ("*/history_a.txt", "has a wildcard in its directory, expected one in the file name only"),
    ],
)
def test_a_pattern_without_files_is_refused_at_once(books, pattern, message):
    with pytest.raises(ValueError, match=message):
        read_corpus(f"{books.parent}/{pattern}")


def test_a_registered_corpus_gets_the_seed_and_the_options(registered):
    assert next(read_corpus("counting:numbers", seed=3)) == "3/0"
    assert next(read_corpus("counting:numbers:start=7")) == "0/7"


def test_weights_are_shares_of_the_documents(write_jsonl, registered):
    spec = "3*" + write_jsonl("a.jsonl", *"aaaaaa") + "+1*counting:numbers"

    assert list(islice(read_corpus(spec), 8)) == ["a", "a", "a", "0/0", "a", "a", "a", "0/1"]


def test_parts_without_weights_take_turns(write_jsonl):
    spec = write_jsonl("a.jsonl", "a", "b") + "+" + write_jsonl("c.jsonl", "x", "y", "z")

    assert list(read_corpus(spec)) == ["a", "x", "b", "y"]


def test_mix_ends_with_the_first_stream_that_ends():
    assert list(mix([iter("ab"), iter("xyz")], [1.0, 1.0])) == ["a", "x", "b", "y"]
    assert list(mix([iter("")], [1.0])) == []


def test_options_behind_the_second_colon():
    assert parse_corpus("hf:owner/name:config=en,split=test,field=body") == [
        CorpusPart("hf:owner/name", 1.0, {"config": "en", "split": "test", "field": "body"})
    ]


def test_a_hugging_face_dataset_is_streamed(monkeypatch):
    calls = []

    def load_dataset(*args, **options):
        calls.append((args, options))
        return iter([{"body": "one"}, {"body": "two"}])

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))

    assert list(read_corpus("hf:owner/name:config=en,field=body")) == ["one", "two"]
    assert calls == [(("owner/name", "en"), {"split": "train", "streaming": True})]
    with pytest.raises(ValueError, match=r"hf:owner/name has no field 'text', expected one of \['body'\]"):
        next(read_corpus("hf:owner/name"))


def _unreachable(*arguments, **options):
    logging.getLogger("huggingface_hub.utils").warning("retrying")
    raise ConnectionError("the hub cannot be reached\nand more")


def _breaks_off(*arguments, **options):
    yield {"text": "one"}
    raise ConnectionError("reset by peer")


def test_a_dataset_that_cannot_be_reached_is_one_line(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=_unreachable))
    with pytest.raises(ValueError, match="'owner/name', split 'train': the hub cannot be reached; check the name and"):
        read_corpus("hf:owner/name")
    assert not caplog.records


def test_a_dataset_that_breaks_off_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=_breaks_off))
    texts = read_corpus("hf:owner/name")
    assert next(texts) == "one"
    with pytest.raises(ValueError, match="dataset 'owner/name' broke off: reset by peer; run the same command again"):
        next(texts)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "has an empty part"),
        ("a.jsonl+", "has an empty part"),
        ("0.5*a.jsonl+b.jsonl", "expected them for all or for none"),
        ("0*a.jsonl", "has the weight '0', expected a number above 0"),
        ("1.2.3*a.jsonl", r"has the weight '1\.2\.3'"),
        ("notes", "cannot read corpus 'notes'; expected NAME:PART"),
        ("notes.csv", r"cannot read corpus 'notes\.csv'"),
        ("missing.jsonl", "corpus file missing.jsonl does not exist"),
        ("hf:name:config", "options 'config', expected NAME=VALUE"),
        ("hf:name:colour=red", r"unknown options \['colour'\]"),
        ("elsewhere:numbers", r"no corpus 'elsewhere' \(registered: counting\)"),
        ("counting:letters", "unknown corpus 'letters'"),
        ("counting:numbers:colour=red", "does not take the options"),
    ],
)
def test_what_cannot_be_read_is_refused_at_once(registered, spec, message):
    with pytest.raises(ValueError, match=message):
        read_corpus(spec)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a"}\n{"text": ', r"line 2 of .*a\.jsonl is not valid JSON"),
        ('{"body": "a"}\n', r"line 1 of .* has no string 'text'"),
        ("[1]\n", r"line 1 of .* has no string 'text'"),
    ],
)
def test_a_bad_line_is_named(tmp_path, content, message):
    (tmp_path / "a.jsonl").write_text(content)

    with pytest.raises(ValueError, match=message):
        list(read_corpus(str(tmp_path / "a.jsonl")))


def test_a_truncated_gzip_file_is_one_line(write_jsonl, tmp_path):
    path = write_jsonl("a.jsonl.gz", *(str(number) for number in range(1000)))
    whole = (tmp_path / "a.jsonl.gz").read_bytes()
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(ValueError, match=r"a\.jsonl\.gz is damaged"):
        list(read_corpus(path))


def test_a_foreign_parquet_file_is_one_line(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "a.parquet").write_bytes(b"no parquet at all")

    with pytest.raises(ValueError, match=r"a\.parquet is damaged or no Parquet file"):
        list(read_corpus(str(tmp_path / "a.parquet")))


def test_parquet_without_a_text_column_is_refused(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"body": ["one"]}), tmp_path / "a.parquet")

    with pytest.raises(ValueError, match=r"has columns \['body'\], expected one named 'text'"):
        list(read_corpus(str(tmp_path / "a.parquet")))


@pytest.fixture
def with_answers(registered, monkeypatch):
    monkeypatch.setattr(counting_corpus, "answer_prompts", counting_prompts, raising=False)


@pytest.mark.usefixtures("with_answers")
def test_answer_prompts_are_those_of_the_parts_that_know_them(write_jsonl):
    mixture = "0.5*" + write_jsonl("a.jsonl", "a") + "+0.2*counting:numbers+0.3*counting:letters"

    for spec in ("counting:numbers", "counting:numbers:start=7", mixture):
        assert list(islice(answer_prompts(spec, seed=3), 2)) == ["after 3/0", "after 3/1"]


@pytest.mark.parametrize(
    "spec", ["counting:numbers", "a.jsonl", "hf:some/texts", "my notes of May", "other:corpus", ""]
)
def test_a_corpus_that_knows_no_answers_has_no_prompts(registered, spec):
    assert list(answer_prompts(spec)) == []


def test_texts_of_which_nothing_is_known_have_no_annotations(write_jsonl):
    assert list(annotated_texts(write_jsonl("a.jsonl", "one", "two"))) == [AnnotatedText("one"), AnnotatedText("two")]


def test_annotated_texts_are_the_texts_of_the_corpus():
    spec = "clinic:clinical:split=test"
    found = list(islice(annotated_texts(spec, seed=3), 50))

    assert [text.text for text in found] == list(islice(read_corpus(spec, seed=3), 50))
    assert any(text.concepts for text in found)
    for text in found:
        for place in text.answers:
            assert text.text[place.prompt_end :].startswith(f" {place.answer}")
        for span in text.concepts:
            assert 0 <= span.start < span.end <= len(text.text)


def test_annotated_texts_mix_as_texts_do(write_jsonl):
    mixed = f"0.5*{write_jsonl('a.jsonl', 'one', 'two')}+0.5*clinic:clinical"

    assert [text.text for text in islice(annotated_texts(mixed), 4)] == list(islice(read_corpus(mixed), 4))


def test_options_that_a_corpus_does_not_take_are_refused():
    with pytest.raises(ValueError, match="corpus clinic:clinical does not take the options"):
        annotated_texts("clinic:clinical:colour=red")
