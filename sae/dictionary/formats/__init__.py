"""SAEs on disk: each file layout in its own module, all brought to one form; `registry` tells them apart."""

from sae.lazy_exports import lazy_exports

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "FORMATS": "sae.dictionary.formats.registry",
        "RECORD": "sae.dictionary.formats.stored",
        "StoredSAE": "sae.dictionary.formats.stored",
        "is_sae_directory": "sae.dictionary.formats.registry",
        "read_site": "sae.dictionary.formats.registry",
        "read_stored": "sae.dictionary.formats.registry",
    },
)
