"""Text that may not leave the machine, such as records of patients: how a corpus says so.

A file says it by a file `NAME.restricted` beside it, or by one called `RESTRICTED` in its directory, whose content does
not matter; a directory by the latter; any other corpus by `restricted=true` in its SPEC, as in
`hf:NAME:restricted=true`, or, if another package registered it, by a method `is_restricted`, called with the PART.
"""

from pathlib import Path

from sae.corpora import CorpusPart, corpus_method, parse_corpus
from sae.text_files import file_kind

__all__ = ["MARK", "restriction"]

MARK = "RESTRICTED"


def restriction(spec: str) -> str | None:
    """What says that a corpus is restricted; None where nothing does.

    Args:
        spec: The SPEC; one restricted part is enough.

    Raises:
        ValueError: The SPEC cannot be read.
    """
    return next((mark for part in parse_corpus(spec) if (mark := _of_part(part)) is not None), None)


def _of_part(part: CorpusPart) -> str | None:
    path = Path(part.source).expanduser()
    marks = [path.with_name(path.name + ".restricted"), path.parent / MARK] if file_kind(part.source) else []
    marks += [path / MARK] if path.is_dir() else []
    if (found := next((mark for mark in marks if mark.exists()), None)) is not None:
        return str(found)
    if part.restricted:
        return "restricted=true"
    method = corpus_method(part, "is_restricted")
    return f"{part.source} itself" if method is not None and method(part.inner) else None
