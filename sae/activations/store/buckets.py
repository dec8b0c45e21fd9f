"""Rows that wait on disk, spread over buckets, until each bucket is read back whole and put in order."""

import math
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

__all__ = ["Block", "Buckets", "row_bytes"]

Block = dict[str, Tensor]
"""Named columns with one row a token."""


class Buckets:
    """Append-only files, one for each column and bucket, without headers.

    Args:
        folder: Where they lie; made if need be.
        columns: For each column an empty tensor of its type and of the shape of its rows, `[0, ...]`.
        names: Of the buckets.
    """

    def __init__(self, folder: Path, columns: Mapping[str, Tensor], names: Collection[str]) -> None:
        self._folder = folder
        self._columns = dict(columns)
        self._names = list(names)

    def append(self, block: Block, bucket_ids: Int64[Tensor, " tokens"], *, only: Collection[int]) -> None:
        """Add rows to the ends of their buckets; those of buckets that are not in `only` are dropped."""
        self._folder.mkdir(parents=True, exist_ok=True)
        order = bucket_ids.argsort(stable=True)
        sizes = torch.bincount(bucket_ids, minlength=len(self._names)).tolist()
        for column, empty in self._columns.items():
            parts = block[column].to(empty.dtype)[order].split(sizes)
            for bucket in only:
                if sizes[bucket]:
                    self._append(self._path(column, bucket), parts[bucket])

    def read(self, column: str, bucket: int) -> Tensor:
        """All rows of a bucket, in the order in which they were added."""
        empty, path = self._columns[column], self._path(column, bucket)
        if not path.is_file():
            return empty.clone()
        stored = torch.from_numpy(np.fromfile(path, dtype=np.uint8))
        return stored.view(empty.dtype).view(-1, *empty.shape[1:])

    def cut_back(self, sizes: Int64[Tensor, " buckets"], *, only: Collection[int]) -> bool:
        """Shorten buckets to the given numbers of rows, which undoes what was added since.

        Returns:
            False where a bucket has fewer rows already, so that something is lost.
        """
        for column, empty in self._columns.items():
            for bucket in only:
                if not _cut(self._path(column, bucket), int(sizes[bucket]) * row_bytes(empty)):
                    return False
        return True

    def delete(self, bucket: int) -> None:
        """Remove a bucket's files."""
        for column in self._columns:
            self._path(column, bucket).unlink(missing_ok=True)

    def _path(self, column: str, bucket: int) -> Path:
        return self._folder / f"{column}-{self._names[bucket]}.rows"

    def _append(self, path: Path, rows: Tensor) -> None:
        with path.open("ab") as stream:
            stream.write(rows.contiguous().view(torch.uint8).numpy().data)


def row_bytes(column: Tensor) -> int:
    """Bytes of one row of a column."""
    return column.element_size() * math.prod(column.shape[1:])


def _cut(path: Path, size: int) -> bool:
    present = path.stat().st_size if path.exists() else 0
    if present > size:
        with path.open("ab") as stream:
            stream.truncate(size)
    return present >= size
