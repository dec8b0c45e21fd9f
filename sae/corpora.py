"""Where texts come from: a corpus SPEC such as `clinic:clinical`, `notes.jsonl.gz` or `0.5*A+0.5*B`."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

from sae.text_files import FILE_READERS, file_kind, is_pattern, read_matching_files, read_text_directory, read_text_file

__all__ = ["CorpusPart", "called_with_options", "corpus_method", "mix", "parse_corpus", "read_corpus", "read_part"]

Item = TypeVar("Item")


ENTRY_POINT_GROUP = "sae.corpora"
WEIGHTED = re.compile(r"\s*([-0-9.][0-9.eE-]*)\s*\*(.+)")
EXPECTED = (
    f"expected NAME:PART of a registered corpus, hf:NAME, a file ending in {', '.join(FILE_READERS)}, "
    "a directory of such files, some of them as DIR/history_*.jsonl, or several joined as 0.5*A+0.5*B"
)


@dataclass(frozen=True)
class CorpusPart:
    """One source of a corpus.

    Attributes:
        source: A file, a directory, a pattern of the files of a directory, or NAME:PART with NAME a registered corpus
            or `hf`.
        weight: Share of the documents, relative to the other parts.
        options: What stands behind the second colon, as in `hf:NAME:config=C,split=S,field=F`.
        restricted: Whether `restricted=true` stands there too; `sae.restricted_text` knows all ways to say it.
    """

    source: str
    weight: float = 1.0
    options: dict[str, str] = field(default_factory=dict)
    restricted: bool = False

    @property
    def name(self) -> str:
        """What stands before the first colon."""
        return self.source.partition(":")[0]

    @property
    def inner(self) -> str:
        """What stands behind it."""
        return self.source.partition(":")[2]


def read_corpus(spec: str, *, seed: int = 0) -> Iterator[str]:
    """The documents of a corpus, some of them without end.

    Args:
        spec: The SPEC as it is written on the command line.
        seed: For corpora that are generated, and for the order of the documents of several files.

    Raises:
        ValueError: The SPEC cannot be read, or a source is missing or damaged.
    """
    parts = parse_corpus(spec)
    return mix([read_part(part, seed=seed) for part in parts], [part.weight for part in parts])


def read_part(part: CorpusPart, *, seed: int = 0) -> Iterator[str]:
    """The documents of one part of a corpus, as `read_corpus`."""
    if is_pattern(part.source):
        return read_matching_files(Path(part.source).expanduser(), seed=seed)
    if file_kind(part.source) is not None:
        return read_text_file(Path(part.source).expanduser())
    if (directory := Path(part.source).expanduser()).is_dir():
        return read_text_directory(directory, seed=seed)
    if part.name == "hf":
        return _hugging_face(part.inner, **part.options)
    return _registered(part, seed)


def corpus_method(part: CorpusPart, name: str) -> Callable[..., Any] | None:
    """What a registered corpus can do besides giving its texts, or None where `part` is another or cannot do it."""
    known = _entry_points()
    if file_kind(part.source) is not None or part.name not in known:
        return None
    return getattr(known[part.name].load(), name, None)


def called_with_options(method: Callable[..., Any], part: CorpusPart, *, seed: int) -> Iterator[Any]:
    """What a registered corpus, or a method of it, gives for a part and its options.

    Raises:
        ValueError: It does not take these options.
    """
    try:
        return iter(method(part.inner, seed=seed, **part.options))
    except TypeError as error:
        raise ValueError(f"corpus {part.source} does not take the options {part.options}: {error}") from error


def parse_corpus(spec: str) -> list[CorpusPart]:
    """The parts of a SPEC.

    Raises:
        ValueError: It is blank, or only some of its parts have weights, or a weight is not above 0.
    """
    if spec and (Path(spec).is_file() or Path(spec).is_dir()):
        return [CorpusPart(spec)]
    pieces = [piece.strip() for piece in spec.split("+")]
    if not all(pieces):
        raise ValueError(f"corpus {spec!r} has an empty part; {EXPECTED}")
    weighted = [WEIGHTED.fullmatch(piece) for piece in pieces]
    if any(weighted) and not all(weighted):
        raise ValueError(f"corpus {spec!r} has weights for some parts only, expected them for all or for none")
    return [
        _part(match[2], _weight(match[1], spec)) if match else _part(piece, 1.0)
        for piece, match in zip(pieces, weighted, strict=True)
    ]


def mix(streams: Sequence[Iterator[Item]], weights: Sequence[float]) -> Iterator[Item]:
    """Documents of several streams in fixed proportions; ends with the first stream that ends.

    Each document comes from the stream that is furthest behind its share, the first of them when equal.
    """
    taken = [0] * len(streams)
    while True:
        behind = min(range(len(streams)), key=lambda index: (taken[index] + 1) / weights[index])
        try:
            document = next(streams[behind])
        except StopIteration:
            return
        taken[behind] += 1
        yield document


def _weight(text: str, spec: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = 0.0
    if not 0 < weight < float("inf"):
        raise ValueError(f"corpus {spec!r} has the weight {text!r}, expected a number above 0")
    return weight


def _part(text: str, weight: float) -> CorpusPart:
    text = text.strip()
    if file_kind(text) is not None or Path(text).expanduser().is_dir() or ("/" in text and is_pattern(text)):
        return CorpusPart(text, weight)
    name, _, rest = text.partition(":")
    part, _, options = rest.partition(":")
    if not part:
        raise ValueError(f"cannot read corpus {text!r}; {EXPECTED}")
    given = _options(options, text)
    restricted = given.pop("restricted", "false")
    if restricted not in ("true", "false"):
        raise ValueError(f"corpus {text!r} has restricted={restricted}, expected true or false")
    return CorpusPart(f"{name}:{part}", weight, given, restricted == "true")


def _options(text: str, spec: str) -> dict[str, str]:
    pairs = [option.partition("=") for option in text.split(",") if option]
    if not all(key and value for key, _, value in pairs):
        raise ValueError(f"corpus {spec!r} has options {text!r}, expected NAME=VALUE,NAME=VALUE")
    return {key: value for key, _, value in pairs}


def _registered(part: CorpusPart, seed: int) -> Iterator[str]:
    known = _entry_points()
    if part.name not in known:
        names = ", ".join(sorted(known)) or "none; is the project installed?"
        raise ValueError(f"there is no corpus {part.name!r} (registered: {names}); {EXPECTED}")
    return called_with_options(known[part.name].load(), part, seed=seed)


def _entry_points() -> dict[str, EntryPoint]:
    return {entry_point.name: entry_point for entry_point in entry_points(group=ENTRY_POINT_GROUP)}


def _hugging_face(name: str, **options: str) -> Iterator[str]:
    """A dataset of the Hugging Face hub, streamed."""
    unknown = sorted(set(options) - {"config", "split", "field"})
    if unknown:
        raise ValueError(f"corpus hf:{name} has unknown options {unknown}, expected config, split or field")
    try:
        import datasets
    except ImportError:
        raise ValueError("hf: corpora need the datasets package; pip install datasets") from None
    split, text_field = options.get("split", "train"), options.get("field", "text")
    try:
        with _without_retries_told():
            rows = datasets.load_dataset(name, options.get("config"), split=split, streaming=True)
    except Exception as error:
        raise ValueError(
            f"cannot open the Hugging Face dataset {name!r}, split {split!r}: {_first_line(error)}; check the name and "
            "the network, or give a file"
        ) from error
    return _fields(rows, name, text_field)


@contextmanager
def _without_retries_told() -> Iterator[None]:
    """The hub's library warns of every attempt; what came of them is one line."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _fields(rows: Any, name: str, text_field: str) -> Iterator[str]:
    for row in _streamed(rows, name):
        if text_field not in row:
            raise ValueError(f"hf:{name} has no field {text_field!r}, expected one of {sorted(row)}; give field=F")
        yield row[text_field]


def _streamed(rows: Any, name: str) -> Iterator[Any]:
    try:
        yield from rows
    except Exception as error:
        raise ValueError(
            f"the Hugging Face dataset {name!r} broke off: {_first_line(error)}; run the same command again"
        ) from error
