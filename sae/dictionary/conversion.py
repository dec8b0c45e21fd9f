"""From one library's files to another's, with nothing lost."""

import shutil
from pathlib import Path

import torch

from sae.dictionary.autoencoder import SAE
from sae.dictionary.formats.registry import WRITERS, read_stored
from sae.dictionary.formats.saelens import write_saelens
from sae.dictionary.labels import LABELS_FILE
from sae.dictionary.norm_input import with_norm_weight
from sae.dictionary.releases import read_pretrained
from sae.dictionary.transcoder import dictionary_of
from sae.host.host import HostModel

__all__ = ["convert"]


def convert(source: str | Path, output: str | Path, *, to: str = "saelens", host: HostModel | None = None) -> SAE:
    """Read an SAE of any known layout and write it in another.

    Weights are written in float32, except that an SAELens directory keeps bfloat16 where that loses nothing. Names of
    features go with them.

    Args:
        source: An SAE directory, or `RELEASE:SAE_ID` of sae-lens.
        output: Directory to write, made if missing.
        to: `saelens`, `dictionary_learning` or `gemma_scope`.
        host: The model of a transcoder that reads `ln2.hook_normalized`: the norm's weight goes into the encoder.

    Returns:
        The dictionary that was written.

    Raises:
        ValueError: There is no such layout, `output` holds something already, or the source cannot be read or cannot
            be expressed in the layout.
    """
    if to not in WRITERS:
        raise ValueError(f"cannot convert to {to!r}, expected one of {', '.join(WRITERS)}")
    output = Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"output {str(output)!r} holds something already; give another directory")
    sae = _load(source, host)
    if sae.input_site is not None and to != "saelens":
        raise ValueError(f"a transcoder from {sae.input_site} to {sae.site} has no place in {to}, expected saelens")
    if to == "saelens":
        write_saelens(output, sae.stored(), weight_dtype=_lossless_dtype(sae))
    else:
        WRITERS[to](output, sae.stored())
    if sae.path is not None and (sae.path / LABELS_FILE).is_file():
        shutil.copyfile(sae.path / LABELS_FILE, output / LABELS_FILE)
    return sae


def _load(source: str | Path, host: HostModel | None) -> SAE:
    path = Path(source).expanduser()
    release, _, sae_id = str(source).partition(":")
    is_release = bool(sae_id) and not path.exists()
    stored = read_pretrained(release, sae_id) if is_release else read_stored(path)
    if host is not None:
        stored = with_norm_weight(stored, host, source=str(source))
    return dictionary_of(stored, path=None if is_release else path)


def _lossless_dtype(sae: SAE) -> torch.dtype:
    is_rounded = sae.rounded(torch.bfloat16).content_hash == sae.content_hash
    return torch.bfloat16 if is_rounded else torch.float32
