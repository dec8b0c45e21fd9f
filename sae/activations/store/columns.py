"""Which columns a store has for each token, and of what type."""

import torch

from sae.activations.store.buckets import Block
from sae.activations.store.configuration import StoreConfiguration
from sae.activations.store.quantisation import STORED_DTYPES
from sae.host.sites import Site

__all__ = ["scales_column", "store_columns", "token_columns"]


def token_columns(configuration: StoreConfiguration) -> Block:
    """What is known of a token besides its activations, each as an empty column."""
    columns: Block = dict.fromkeys(
        ("token_ids", "next_ids", "document_ids", "positions"), torch.empty(0, dtype=torch.int32)
    )
    if configuration.importance:
        columns |= dict.fromkeys(("log_probs", "next_log_probs"), torch.empty(0))
    return columns


def store_columns(configuration: StoreConfiguration) -> Block:
    """These, and for every site its rows and, for int8, their scales."""
    columns = token_columns(configuration)
    for site in configuration.sites:
        columns[str(site)] = torch.empty(0, configuration.d_model, dtype=STORED_DTYPES[configuration.dtype])
        if configuration.dtype == "int8":
            columns[scales_column(site)] = torch.empty(0)
    return columns


def scales_column(site: Site) -> str:
    """Name of the column of a site's scales."""
    return f"{site}.scales"
