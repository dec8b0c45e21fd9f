"""A dictionary at a place in a language model: splice it in, train it, measure it."""

from sae.lazy_exports import lazy_exports

__version__ = "0.1.0"

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "FeatureActs": "sae.dictionary.feature_acts",
        "HostModel": "sae.host.host",
        "SAE": "sae.dictionary.autoencoder",
        "Site": "sae.host.sites",
        "SplicedHost": "sae.host.splice",
        "TokenBatch": "sae.host.token_batch",
        "evaluate": "sae.evaluation.evaluating",
        "load_saes": "sae.dictionary.collection",
    },
)
