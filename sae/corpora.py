"""Where texts come from: a corpus SPEC such as `clinic:clinical`, `notes.jsonl.gz` or `0.5*A+0.5*B`."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

from sae.annotated_text import AnnotatedText
from sae.text_files import FILE_READERS, file_kind, is_pattern, read_matching_files, read_text_directory, read_text_file

__all__ = ["CorpusPart", "annotated_texts", "answer_prompts", "corpus_method", "mix", "parse_corpus", "read_corpus"]

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
    """

    source: str
    weight: float = 1.0
    options: dict[str, str] = field(default_factory=dict)


def read_corpus(spec: str, *, seed: int = 0) -> Iterator[str]:
    """The documents of a corpus, some of them without end.

    Args:
        spec: The SPEC as it is written on the command line.
        seed: For corpora that are generated, and for the order of the documents of several files.

    Raises:
        ValueError: The SPEC cannot be read, or a source is missing or damaged.
    """
    parts = parse_corpus(spec)
    streams = [_open(part, seed) for part in parts]
    return mix(streams, [part.weight for part in parts])


def annotated_texts(spec: str, *, seed: int = 0) -> Iterator[AnnotatedText]:
    """The documents of a corpus with what is known of their places.

    A registered corpus knows of some if it has a method of this name, called as the corpus itself; it gives the same
    texts in the same order. Other texts come without any.

    Args:
        spec: The SPEC as it is written on the command line.
        seed: For corpora that are generated.

    Raises:
        ValueError: As `read_corpus`.
    """
    parts = parse_corpus(spec)
    return mix([_annotated(part, seed) for part in parts], [part.weight for part in parts])


def answer_prompts(spec: str, *, seed: int = 0) -> Iterator[str]:
    """Prompts that end where an answer is due, of a corpus that knows its answers.

    A registered corpus knows them if it has a method of this name, called as `answer_prompts(PART, seed=...)`. Its
    prompts are of other documents than its texts. Of a mixture, those of the parts that have some, in proportion.

    Args:
        spec: The SPEC, or whatever else a store says that its texts were.
        seed: The same seed gives the same prompts.

    Returns:
        The prompts, without end or none at all.
    """
    try:
        parts = parse_corpus(spec)
    except ValueError:
        return iter(())
    known = [(stream, part.weight) for part in parts if (stream := _answers(part, seed)) is not None]
    return mix([stream for stream, _ in known], [weight for _, weight in known]) if known else iter(())


def corpus_method(part: CorpusPart, name: str) -> Callable[..., Any] | None:
    """What a registered corpus can do besides giving its texts, or None where `part` is another or cannot do it."""
    known, corpus = _entry_points(), part.source.partition(":")[0]
    if file_kind(part.source) is not None or corpus not in known:
        return None
    return getattr(known[corpus].load(), name, None)


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
    return CorpusPart(f"{name}:{part}", weight, _options(options, text))


def _options(text: str, spec: str) -> dict[str, str]:
    pairs = [option.partition("=") for option in text.split(",") if option]
    if not all(key and value for key, _, value in pairs):
        raise ValueError(f"corpus {spec!r} has options {text!r}, expected NAME=VALUE,NAME=VALUE")
    return {key: value for key, _, value in pairs}


def _open(part: CorpusPart, seed: int) -> Iterator[str]:
    if is_pattern(part.source):
        return read_matching_files(Path(part.source).expanduser(), seed=seed)
    if file_kind(part.source) is not None:
        return read_text_file(Path(part.source).expanduser())
    if (directory := Path(part.source).expanduser()).is_dir():
        return read_text_directory(directory, seed=seed)
    name, _, inner = part.source.partition(":")
    if name == "hf":
        return _hugging_face(inner, **part.options)
    return _registered(name, inner, part.options, seed)


def _registered(name: str, inner: str, options: dict[str, str], seed: int) -> Iterator[str]:
    """A corpus that another package registered: called as `source(PART, seed=..., **options)`."""
    known = _entry_points()
    if name not in known:
        names = ", ".join(sorted(known)) or "none; is the project installed?"
        raise ValueError(f"there is no corpus {name!r} (registered: {names}); {EXPECTED}")
    return _called(known[name].load(), f"{name}:{inner}", inner, options, seed)


def _called(source: Callable[..., Any], spec: str, inner: str, options: dict[str, str], seed: int) -> Iterator[Any]:
    try:
        return iter(source(inner, seed=seed, **options))
    except TypeError as error:
        raise ValueError(f"corpus {spec} does not take the options {options}: {error}") from error


def _annotated(part: CorpusPart, seed: int) -> Iterator[AnnotatedText]:
    method = corpus_method(part, "annotated_texts")
    if method is None:
        return (AnnotatedText(text) for text in _open(part, seed))
    return _called(method, part.source, part.source.partition(":")[2], part.options, seed)


def _answers(part: CorpusPart, seed: int) -> Iterator[str] | None:
    """The prompts of one part, or None where it has none."""
    method = corpus_method(part, "answer_prompts")
    prompts: Iterator[str] | None = None if method is None else method(part.source.partition(":")[2], seed=seed)
    return prompts


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
