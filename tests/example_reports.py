"""Made-up reports on features, for pages and tables."""

from dataclasses import replace

from sae.dictionary.labels import FeatureLabel
from sae.inspection.reports import (
    Context,
    Decile,
    DictionaryReport,
    FeatureReport,
    FeatureSummary,
    FiringToken,
    Histogram,
    Neighbour,
    Source,
    TokenLogit,
)

SOURCE = Source("tiny", "resid_post.1", "saes/resid_post.1", "ab" * 32, 300, "notes.jsonl", 10_000, 70)
DENSITIES = Histogram((-2.0, -1.5, -1.0, -0.5, 0.0), (40, 120, 30, 9))


def context(activation: float, document: int = 0, token: str = " fever") -> Context:
    """Six tokens; the feature is strongest on the fourth and weakly active on the second."""
    tokens = ("The", " boy", " has", token, " and", " cough")
    return Context(document, tokens, (0.0, activation / 4, 0.0, activation, 0.0, 0.0), 3)


def feature_report(text: str = "fever") -> FeatureReport:
    """A feature called `text`, which also stands in every place where text can stand."""
    return FeatureReport(
        source=replace(SOURCE, corpus=f"{text}.txt"),
        feature=17,
        label=FeatureLabel(text, 0.93),
        n_active=120,
        density=0.012,
        mean_activation=3.25,
        largest_activation=8.0,
        threshold=0.5,
        activations=Histogram((0.0, 2.0, 4.0, 6.0, 8.0), (10, 60, 40, 10)),
        densities=DENSITIES,
        n_dead=101,
        strongest=tuple(context(8.0 - rank, rank, text) for rank in range(4)),
        deciles=tuple(Decile(7 - k / 2, 7.5 - k / 2, (context(7.25 - k / 2, 20 + k, text),)) for k in range(10)),
        tokens=(FiringToken(text, 90, 0.75, 0.5), FiringToken(" the", 30, 0.25, 0.01)),
        promoted=(TokenLogit(text, 1.5), TokenLogit(" chills", 0.75)),
        suppressed=(TokenLogit(" well", -1.0), TokenLogit(" calm", -0.5)),
        neighbours=(Neighbour(3, 0.8, FeatureLabel(text, 0.7)), Neighbour(4, 0.2, None)),
    )


def silent_report() -> FeatureReport:
    """A feature that was never active and has no name."""
    return replace(
        feature_report(),
        label=None, n_active=0, density=0.0, mean_activation=0.0, largest_activation=0.0,
        activations=Histogram((0.0,), ()), strongest=(), deciles=(), tokens=(),
    )  # fmt: skip


def dictionary_report(text: str = "fever", n_features: int = 250) -> DictionaryReport:
    """Features 0 to n - 1, each less often active than the one before; the last is silent; 17 is called `text`."""
    features = [
        FeatureSummary(
            feature=index,
            label=FeatureLabel(text, 0.93) if index == 17 else None,
            density=0.5 / (index + 1),
            mean_activation=1.0,
            largest_activation=2.0 + index,
            octaves=(1, 5, index),
            context=context(2.0 + index, index),
            promoted=(TokenLogit(f" word{index}", 1.0), TokenLogit(text, 0.5)),
        )
        for index in range(n_features - 1)
    ]
    silent = FeatureSummary(n_features - 1, None, 0.0, 0.0, 0.0, (0, 0, 0), None, (TokenLogit(" end", 1.0),))
    return DictionaryReport(
        source=replace(SOURCE, d_sae=n_features),
        l0=3.5,
        n_dead=1,
        n_dense=4,
        densities=DENSITIES,
        octave_edges=(0.5, 1.0, 2.0, 4.0),
        features=(*features, silent),
    )
