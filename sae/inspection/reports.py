"""What is known of a feature and of a whole dictionary: numbers and texts, ready to be shown or written as JSON."""

from dataclasses import asdict, dataclass
from typing import Any

from sae.dictionary.labels import FeatureLabel

__all__ = [
    "Context",
    "Decile",
    "DictionaryReport",
    "FeatureReport",
    "FeatureSummary",
    "FiringToken",
    "Histogram",
    "Neighbour",
    "Source",
    "TokenLogit",
]


@dataclass(frozen=True)
class Source:
    """Where the numbers are from.

    Attributes:
        model: Name of the host.
        site: Where in the host the dictionary belongs.
        sae: Directory of the dictionary, if it has one.
        sha256: Its content hash.
        d_sae: Its number of features.
        corpus: SPEC of the texts.
        n_tokens: Tokens that were encoded, BOS not counted.
        n_documents: Documents that they are from.
    """

    model: str
    site: str
    sae: str | None
    sha256: str
    d_sae: int
    corpus: str
    n_tokens: int
    n_documents: int


@dataclass(frozen=True)
class Histogram:
    """Counts between consecutive edges; there is one edge more than there are counts."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Context:
    """Some tokens of a document and a feature's activation on each.

    Attributes:
        document: Which document of the corpus, counted from 0.
        tokens: Their texts.
        activations: 0 where the feature is not active.
        index: Which of them the context was chosen for.
    """

    document: int
    tokens: tuple[str, ...]
    activations: tuple[float, ...]
    index: int

    @property
    def activation(self) -> float:
        """Of the token that the context was chosen for."""
        return self.activations[self.index]


@dataclass(frozen=True)
class Decile:
    """A tenth of a feature's activations, by rank, and contexts drawn from it at random."""

    low: float
    high: float
    contexts: tuple[Context, ...]


@dataclass(frozen=True)
class FiringToken:
    """A token on which a feature is active.

    Attributes:
        token: Its text.
        n: How often the feature is active on it.
        share_of_firings: That number over all firings of the feature.
        share_of_token: That number over all occurrences of the token.
    """

    token: str
    n: int
    share_of_firings: float
    share_of_token: float


@dataclass(frozen=True)
class TokenLogit:
    """A token and what one unit of activation adds to its logit; `sae.inspection.logit_lens.LENS` says how."""

    token: str
    logit: float


@dataclass(frozen=True)
class Neighbour:
    """Another feature, the cosine of the decoder rows, and the feature's name where it has one."""

    feature: int
    cosine: float
    label: FeatureLabel | None


@dataclass(frozen=True)
class FeatureReport:
    """Everything about one feature.

    Attributes:
        source: Where the numbers are from.
        feature: Its index.
        label: Its name, if there is one.
        n_active: Tokens on which it is active.
        density: Their share of all tokens.
        mean_activation: Over the tokens on which it is active; 0 where there is none.
        largest_activation: 0 where it was never active.
        threshold: What its pre-activation must exceed.
        activations: Histogram of its activations, in equal steps from 0.
        densities: Histogram of log10 of the density of all active features.
        n_dead: Features that were never active.
        strongest: The contexts with the largest activations, each from another document.
        deciles: Contexts from each tenth of the activations, the strongest tenth first.
        tokens: The tokens that it is most often active on.
        promoted: Tokens that it makes likelier.
        suppressed: Tokens that it makes less likely.
        neighbours: Features with nearly the same decoder row.
    """

    source: Source
    feature: int
    label: FeatureLabel | None
    n_active: int
    density: float
    mean_activation: float
    largest_activation: float
    threshold: float
    activations: Histogram
    densities: Histogram
    n_dead: int
    strongest: tuple[Context, ...]
    deciles: tuple[Decile, ...]
    tokens: tuple[FiringToken, ...]
    promoted: tuple[TokenLogit, ...]
    suppressed: tuple[TokenLogit, ...]
    neighbours: tuple[Neighbour, ...]

    def to_json(self) -> dict[str, Any]:
        """The fields, nested, as JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class FeatureSummary:
    """A line about one feature.

    Attributes:
        feature: Its index.
        label: Its name, if there is one.
        density: Share of the tokens on which it is active.
        mean_activation: Over the tokens on which it is active.
        largest_activation: 0 where it was never active.
        octaves: Its activations by size, on the scale of `DictionaryReport.octave_edges`.
        context: Where it is strongest; None where it was never active.
        promoted: The tokens that it makes likelier.
    """

    feature: int
    label: FeatureLabel | None
    density: float
    mean_activation: float
    largest_activation: float
    octaves: tuple[int, ...]
    context: Context | None
    promoted: tuple[TokenLogit, ...]


@dataclass(frozen=True)
class DictionaryReport:
    """All features of a dictionary, or many of them, in brief.

    Attributes:
        source: Where the numbers are from.
        l0: Mean number of active features of a token.
        n_dead: Features that were never active.
        n_dense: Features that are active on more than one token in ten.
        densities: Histogram of log10 of the density of all active features.
        octave_edges: Edges of the bins of `FeatureSummary.octaves`, in units of activation.
        features: The most often active one first. Of very large dictionaries a part, evenly spread over the ranks.
    """

    source: Source
    l0: float
    n_dead: int
    n_dense: int
    densities: Histogram
    octave_edges: tuple[float, ...]
    features: tuple[FeatureSummary, ...]

    def to_json(self) -> dict[str, Any]:
        """The fields, nested, as JSON types."""
        return asdict(self)
