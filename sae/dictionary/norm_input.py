"""Transcoders that read the stream over its scale, inside the norm before the MLP, brought to what the MLP reads."""

from dataclasses import replace

from sae.dictionary.formats.folding import fold_input_norm
from sae.dictionary.formats.stored import RECORD, StoredSAE
from sae.dictionary.hook_names import hook_name
from sae.dictionary.host_record import host_record
from sae.host.host import HostModel

__all__ = ["with_norm_weight"]


def with_norm_weight(stored: StoredSAE, host: HostModel, *, source: str) -> StoredSAE:
    """The same features read off `mlp_in`: the norm's weight is divided out in the encoder and in the skip path.

    Exact, because `mlp_in = weight * n + bias` of the n that the transcoder was trained on, in every family. The host
    goes into the record, since to another one the features are others.

    Args:
        stored: A transcoder with `reads_unweighted`.
        host: The model that it was trained on.
        source: Where it comes from, for messages.

    Raises:
        ValueError: It reads something else already, the host has no such layer or another width, or the norm gives no
            weight to a coordinate that the transcoder reads.
    """
    site = stored.input_site
    if site is None or site.layer is None or not stored.reads_unweighted:
        raise ValueError(f"{source} needs no model, only transcoders from ln2.hook_normalized do; leave it out")
    d_model = len(stored.tensors["W_enc"])
    if site.layer >= host.n_layers or d_model != host.d_model:
        raise ValueError(
            f"{source} is at layer {site.layer} with d_model {d_model}, but model {host.name!r} has {host.n_layers} "
            f"layers and d_model {host.d_model}; give the model that it was trained on"
        )
    weight, bias = (part.to(stored.tensors["W_enc"].device) for part in host.mlp_norm(site.layer))
    if n_lost := int((weight == 0).sum()):
        raise ValueError(
            f"the norm before MLP {site.layer} of {host.name!r} gives weight 0 to {n_lost} of {d_model} coordinates, "
            f"which {source} reads but the MLP does not see; there is no site to read them from"
        )
    tensors = dict(stored.tensors)
    fold_input_norm(tensors, weight, bias)
    metadata = {key: value for key, value in stored.metadata.items() if key not in ("hook_name", "hf_hook_name")}
    record = {
        **(metadata.get(RECORD) or {}),
        "input_site": str(site),
        "host": host_record(host),
        "norm_weight_divided_out": stored.metadata.get("hook_name"),
    }
    metadata |= {"hook_name": hook_name(site), RECORD: record}
    return replace(stored, tensors=tensors, metadata=metadata, reads_unweighted=False)
