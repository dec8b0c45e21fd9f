"""All text that an interpretation is made from and tested on: the corpus, its denials and fresh text, encoded once."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from sae.annotated_text import AnnotatedText, TextSpan
from sae.corpora import read_corpus
from sae.corpus_knowledge import known_texts, negation_flips
from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.interpretation.concept_text import ConceptText, place_mentions
from sae.interpretation.encoded_text import EncodedText, encode_text, joined_texts
from sae.interpretation.ontology import Ontology
from sae.interpretation.roles import Role, role_of
from sae.interpretation.window_texts import WindowTexts
from sae.interpretation.windows import TextWindows, cut_windows
from sae.token_text import token_texts

__all__ = ["Material", "gather_material", "material_of_documents"]

N_FLIPS = 600
FRESH_SHARE = 0.5
"""Tokens of fresh text for each of the corpus."""
FRESH_SEED = 500_000
"""Added to the seed for text that the corpus has not given so far."""
N_TRIED = 200
"""Fresh documents that are looked at to see whether the corpus generates; a file gives the same ones again."""


@dataclass(frozen=True, eq=False)
class Material:
    """What `interpret` works on.

    Attributes:
        corpus: SPEC of the corpus.
        windows: All documents, encoded and cut.
        texts: Windows as people read them.
        concepts: What the documents express; None where neither the corpus nor an ontology says it.
        generates: Whether there is fresh text.
        n_flips: Pairs of documents that assert and deny.
    """

    corpus: str
    windows: TextWindows
    texts: WindowTexts
    concepts: ConceptText | None
    generates: bool
    n_flips: int

    @property
    def text(self) -> EncodedText:
        """The documents."""
        return self.windows.text


def gather_material(
    host: HostModel,
    sae: SAE,
    corpus: str,
    *,
    n_tokens: int,
    width: int = 32,
    ontology: Ontology | None = None,
    seed: int = 0,
) -> Material:
    """Read and encode everything.

    Args:
        host: The model.
        sae: The dictionary; it must know its site.
        corpus: SPEC of the corpus.
        n_tokens: Tokens of the corpus to encode; fresh text and denials come on top, if the corpus can make them.
        width: Most tokens of a window.
        ontology: Concepts to look for; where there is none, those that the corpus knows itself.
        seed: Of the corpus and of the split.

    Raises:
        ValueError: The corpus cannot be read or is blank, or the dictionary does not know its site.
    """
    mentions: dict[str, tuple[TextSpan, ...]] = {}
    remember = _remembering(mentions)
    known = known_texts(corpus, seed=seed)
    texts = read_corpus(corpus, seed=seed) if known is None else map(remember, known)
    parts = [encode_text(host, sae, texts, lambda text: role_of(text, seed=seed), n_tokens=n_tokens)]
    seen = set(parts[0].texts)

    flips = _flips(corpus, seed, seen)
    if flips:
        roles = cycle((Role.ORIGINAL, Role.FLIPPED))
        told = [remember(each) for pair in flips for each in pair]
        everything = len(told) * host.context_length
        parts.append(encode_text(host, sae, told, lambda _: next(roles), n_tokens=everything, repeats=True))
    fresh = _fresh(corpus, seed, seen, remember)
    if fresh is not None:
        parts.append(encode_text(host, sae, fresh, lambda _: Role.FRESH, n_tokens=max(1, int(n_tokens * FRESH_SHARE))))

    text = joined_texts(parts)
    windows = cut_windows(text, width=width)
    concepts = _concepts(text, host, ontology, mentions if known is not None else None)
    return Material(corpus, windows, _readable(windows, host), concepts, fresh is not None, len(flips))


def material_of_documents(
    host: HostModel,
    sae: SAE,
    corpus: str,
    documents: Sequence[AnnotatedText],
    *,
    n_tokens: int,
    width: int = 32,
    seed: int = 0,
) -> Material:
    """The same of documents at hand, such as held-out ones, without denials and fresh text.

    Args:
        host: The model.
        sae: The dictionary; it must know its site.
        corpus: SPEC that the documents are from, for the record.
        documents: With the concepts that they express; where none of them says any, none are known.
        n_tokens: Tokens to encode.
        width: Most tokens of a window.
        seed: Of the split.

    Raises:
        ValueError: No document has any text, or the dictionary does not know its site.
    """
    mentions = {document.text: document.concepts for document in documents}
    text = encode_text(
        host, sae, (document.text for document in documents), lambda text: role_of(text, seed=seed), n_tokens=n_tokens
    )
    windows = cut_windows(text, width=width)
    concepts = _concepts(text, host, None, mentions if any(mentions.values()) else None)
    return Material(corpus, windows, _readable(windows, host), concepts, generates=False, n_flips=0)


def _readable(windows: TextWindows, host: HostModel) -> WindowTexts:
    """Windows with what each of their tokens adds to a text."""
    return WindowTexts(windows, token_texts(host.tokenizer, windows.text.token_ids.unique().tolist()))


def _remembering(mentions: dict[str, tuple[TextSpan, ...]]) -> Callable[[AnnotatedText], str]:
    """Gives the text and keeps what it expresses."""

    def remember(known: AnnotatedText) -> str:
        mentions[known.text] = known.concepts
        return known.text

    return remember


def _flips(corpus: str, seed: int, seen: set[str]) -> list[tuple[AnnotatedText, AnnotatedText]]:
    """Pairs of which the corpus has given neither text."""
    pairs = negation_flips(corpus, seed=seed)
    if pairs is None:
        return []
    return [pair for pair in islice(pairs, N_FLIPS) if not {each.text for each in pair} & seen]


def _fresh(corpus: str, seed: int, seen: set[str], remember: Callable[[AnnotatedText], str]) -> Iterator[str] | None:
    """Documents of another seed that have not been seen; None where another seed gives the same ones."""

    def stream() -> Iterable[str]:
        known = known_texts(corpus, seed=seed + FRESH_SEED)
        return read_corpus(corpus, seed=seed + FRESH_SEED) if known is None else map(remember, known)

    tried = list(islice(stream(), N_TRIED))
    if sum(text in seen for text in tried) > len(tried) / 2:
        return None
    return (text for text in stream() if text not in seen)


def _concepts(
    text: EncodedText, host: HostModel, ontology: Ontology | None, mentions: Mapping[str, tuple[TextSpan, ...]] | None
) -> ConceptText | None:
    if ontology is not None:
        found = [ontology.mentions(each) for each in text.texts]
        return place_mentions(text, found, host.tokenizer, names=ontology.names())
    if mentions is None:
        return None
    return place_mentions(text, [mentions[each] for each in text.texts], host.tokenizer)
