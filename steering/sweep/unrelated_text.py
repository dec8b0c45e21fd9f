"""Text that steering should leave alone: documents that do not speak of the target, cut in two."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from jaxtyping import Int
from torch import Tensor

from sae.bundle import find_bundle
from sae.corpora import read_corpus
from sae.dictionary.collection import load_saes
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.inspection.sources import recorded_corpus
from steering.dictionaries import Dictionaries
from steering.positions import PromptTokens
from steering.target_effects import lexicon_hits

__all__ = ["OTHER_DOMAIN", "SAME_DOMAIN", "UnrelatedText", "bundled_domains", "read_unrelated"]

SAME_DOMAIN, OTHER_DOMAIN = "same domain", "other domain"
LONGEST_SEARCH = 50
"""Documents looked at for each that is wanted."""


@dataclass(frozen=True, eq=False)
class UnrelatedText:
    """A document, cut in two.

    Attributes:
        prompt: What is shown.
        continuation: The tokens that follow in the document.
        domain: Which of the corpora it is of.
    """

    prompt: PromptTokens
    continuation: Int[Tensor, " n"]
    domain: str


def bundled_domains(dictionaries: Dictionaries, site: Site) -> dict[str, str]:
    """SPECs of the text that strengths are measured by and, of a bundled model, of the broad text that it saw before.

    Raises:
        ValueError: It is not known what text strengths are measured by.
    """
    known = dictionaries.references(site)
    if isinstance(known, str):
        raise ValueError(f"there is no unrelated text, since {known}; give --unrelated CORPUS")
    found, host = {SAME_DOMAIN: known.corpus}, dictionaries.host
    bundle = find_bundle(host.name)
    if bundle is not None and bundle.saes("broad").is_dir():
        [sae] = load_saes(bundle.saes("broad"), host=host, sites=str(site)).values()
        if corpus := recorded_corpus(sae):
            found[OTHER_DOMAIN] = corpus
    return found


def read_unrelated(
    host: HostModel, domains: Mapping[str, str], *, n_texts: int, n_tokens: int, without: Sequence[str], seed: int = 0
) -> list[UnrelatedText]:
    """The same number of texts of each domain.

    Args:
        host: Whose tokenizer to use.
        domains: SPEC of a corpus by name.
        n_texts: Texts of each.
        n_tokens: Tokens of every continuation.
        without: Words of the target; a document that has one is passed over.
        seed: Of corpora that are generated.

    Raises:
        ValueError: A corpus cannot be read, or has too few such documents.
    """
    texts: list[UnrelatedText] = []
    for domain, spec in domains.items():
        documents = islice(read_corpus(spec, seed=seed), LONGEST_SEARCH * n_texts)
        found = list(islice(_cut_documents(host, documents, n_tokens, without, domain), n_texts))
        if len(found) < n_texts:
            raise ValueError(
                f"corpus {spec} has {len(found)} documents of more than {n_tokens} tokens without {without[0]!r} among "
                f"the first {LONGEST_SEARCH * n_texts}, expected {n_texts}; give another corpus or ask for fewer texts"
            )
        texts += found
    return texts


def _cut_documents(
    host: HostModel, documents: Iterable[str], n_tokens: int, without: Sequence[str], domain: str
) -> Iterator[UnrelatedText]:
    for document in documents:
        if not document.strip() or lexicon_hits([document], without)[0]:
            continue
        cut = _cut(host, document, n_tokens)
        if cut is not None:
            yield UnrelatedText(*cut, domain)


def _cut(host: HostModel, document: str, n_tokens: int) -> tuple[PromptTokens, Int[Tensor, " n"]] | None:
    """About in the middle, between two words; None where too little is left on either side."""
    middle = document.rfind(" ", 0, len(document) // 2 + 1)
    if middle <= 0 or not document[:middle].strip():
        return None
    whole = torch.tensor(host.tokenizer(document, verbose=False)["input_ids"])
    prompt = PromptTokens(document[:middle], host.tokenise(document[:middle]))
    n_before = len(prompt.ids) - int(prompt.ids[0] != whole[0])
    following = whole[n_before : n_before + n_tokens]
    is_prefix = torch.equal(prompt.ids[-n_before:], whole[:n_before])
    fits = len(prompt.ids) + n_tokens <= host.context_length
    return (prompt, following) if is_prefix and fits and len(following) == n_tokens else None
