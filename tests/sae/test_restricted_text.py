"""How corpora say that their text may not leave the machine."""

from importlib.metadata import EntryPoint

import pytest

from sae import corpora
from sae.corpora import parse_corpus, read_corpus
from sae.restricted_text import restriction


def secret(part, *, seed, **options):
    yield f"{part} {seed} {options}"


secret.is_restricted = lambda part: part == "wards"


@pytest.fixture
def registered(monkeypatch):
    source = EntryPoint("secret", f"{__name__}:secret", corpora.ENTRY_POINT_GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: secret)
    monkeypatch.setattr(corpora, "entry_points", lambda group: [source])


@pytest.fixture
def notes(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("A note.\n", encoding="utf-8")
    return path


def test_a_file_beside_it_marks_a_file(notes):
    assert restriction(str(notes)) is None
    mark = notes.with_name("notes.txt.restricted")
    mark.touch()
    assert restriction(str(notes)) == str(mark)
    assert list(read_corpus(str(notes))) == ["A note."]


def test_a_directory_marks_itself_and_its_files(notes):
    mark = notes.parent / "RESTRICTED"
    mark.touch()
    assert restriction(str(notes)) == restriction(str(notes.parent)) == str(mark)


def test_a_spec_may_say_it():
    assert restriction("hf:org/notes:split=test,restricted=true") == "restricted=true"
    assert restriction("hf:org/notes:split=test,restricted=false") is None
    assert parse_corpus("hf:org/notes:split=test,restricted=true")[0].options == {"split": "test"}
    with pytest.raises(ValueError, match="has restricted=maybe, expected true or false"):
        restriction("hf:org/notes:restricted=maybe")


def test_a_registered_corpus_may_say_it_of_its_parts(registered):
    assert restriction("secret:wards") == "secret:wards itself"
    assert restriction("secret:other") is None
    assert restriction("secret:other:restricted=true") == "restricted=true"


def test_one_restricted_part_is_enough(notes, registered):
    assert restriction(f"0.9*{notes}+0.1*secret:wards") == "secret:wards itself"


def test_the_bundled_corpora_are_free():
    assert restriction("clinic:clinical+clinic:broad") is None
