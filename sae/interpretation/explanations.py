"""What is said of a feature: words for a person or a judge, and, where there is one, the rule behind them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool
from torch import Tensor

from sae.dictionary.labels import FeatureLabel
from sae.interpretation.concept_text import ConceptRule, ConceptText
from sae.interpretation.encoded_text import EncodedText
from sae.interpretation.lexical_explainer import LexicalRule, explain_lexically
from sae.interpretation.literals import Literal, NgramIndex, literal_text
from sae.interpretation.ontology_explainer import associations, best_concepts
from sae.interpretation.roles import Role
from sae.interpretation.windows import TextWindows

__all__ = [
    "EXPLAINERS",
    "Explanation",
    "Rule",
    "concept_explanations",
    "label_explanations",
    "lexical_explanations",
    "topic_explanation",
]

EXPLAINERS = ("lexical", "ontology", "labels")
N_TOPIC_WORDS = 8
SHORTEST_TOPIC_WORD = 4
"""Characters; shorter words are mostly grammar."""


@runtime_checkable
class Rule(Protocol):
    """Predicts where a feature fires from the text alone."""

    def fires(self, text: EncodedText) -> Bool[Tensor, " tokens"]:
        """Whether it says so at each token."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """One explanation.

    Attributes:
        text: In words.
        rule: The same for a machine; None where the words are all there is.
    """

    text: str
    rule: Rule | None = None


def lexical_explanations(
    text: EncodedText, features: Iterable[int], tokens: Mapping[int, str]
) -> dict[int, Explanation]:
    """Literals for each feature that fires in explain documents.

    Args:
        text: The documents.
        features: Which features.
        tokens: What each token adds to a text.
    """
    in_explain = text.has_role(Role.EXPLAIN)
    index = NgramIndex(text, in_explain)
    found = {}
    for feature in features:
        firings = text.firings(feature)[0]
        rule = explain_lexically(text, index, firings[in_explain[firings]])
        if rule is not None:
            found[feature] = Explanation(_in_words(rule, tokens), rule)
    return found


def concept_explanations(
    windows: TextWindows, features: Sequence[int], concepts: ConceptText
) -> dict[int, Explanation]:
    """The concept that each feature detects best; features without a significant one are left out."""
    best = best_concepts(associations(windows, features, concepts), concepts)
    return {
        feature: _of_concept(concept, concepts)
        for feature, concept in zip(features, best, strict=True)
        if concept is not None
    }


def label_explanations(
    labels: Mapping[int, FeatureLabel], features: Iterable[int], concepts: ConceptText | None
) -> dict[int, Explanation]:
    """The names that a dictionary's features have already; with a rule where the text's concepts have that name."""
    known = {} if concepts is None else concepts.column_of
    return {
        feature: _of_concept(name, concepts) if concepts is not None and name in known else Explanation(name)
        for feature in features
        if feature in labels and (name := labels[feature].text)
    }


def topic_explanation(text: EncodedText, tokens: Mapping[int, str]) -> Explanation:
    """A null: what all of the corpus is about, by the words that most of its explain documents have."""
    inside = text.has_role(Role.EXPLAIN)
    n_documents = _documents_of_types(text, inside)
    frequent = n_documents.argsort(descending=True, stable=True).tolist()
    words = [token for token in frequent if len(tokens.get(token, "").strip()) >= SHORTEST_TOPIC_WORD]
    rule = LexicalRule(tuple(Literal((token,), 0, 0) for token in words[:N_TOPIC_WORDS]))
    quoted = ", ".join(f'"{tokens[token].strip()}"' for token in words[:N_TOPIC_WORDS])
    return Explanation(f"any text on the subject of {quoted}", rule)


def _documents_of_types(text: EncodedText, inside: Bool[Tensor, " tokens"]) -> Tensor:
    """In how many documents each token type occurs."""
    pairs = torch.stack([text.document_of_token[inside], text.token_ids[inside]], 1).unique(dim=0)
    return torch.bincount(pairs[:, 1])


def _in_words(rule: LexicalRule, tokens: Mapping[int, str]) -> str:
    return "; ".join(literal_text(literal, tokens) for literal in rule.literals)


def _of_concept(concept: str, concepts: ConceptText) -> Explanation:
    return Explanation(f'mentions of "{concepts.names[concept]}"', ConceptRule(concept, concepts))
