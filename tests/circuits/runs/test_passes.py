import pytest
import torch

from circuits.runs.passes import in_passes


def limited(most: int, tried: list[int]):
    def run(rows):
        tried.append(len(rows))
        if len(rows) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return rows.tolist()

    return run


def test_rows_come_in_order_and_once():
    assert in_passes(7, 3, lambda rows: rows.tolist()) == [[0, 1, 2], [3, 4, 5], [6]]
    assert in_passes(0, 3, lambda rows: rows.tolist()) == []


def test_passes_are_halved_until_they_fit_and_stay_so():
    tried: list[int] = []
    found = in_passes(10, 8, limited(2, tried))
    assert [row for part in found for row in part] == list(range(10))
    assert tried == [8, 4, 2, 2, 2, 2, 2]


def test_the_words_of_a_processor_are_understood():
    def run(rows):
        if len(rows) > 1:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        return len(rows)

    assert in_passes(3, 3, run) == [1, 1, 1]


def test_a_row_too_large_and_other_errors_are_not_hidden():
    with pytest.raises(torch.OutOfMemoryError):
        in_passes(3, 2, limited(0, []))
    with pytest.raises(RuntimeError, match="shapes differ"):
        in_passes(3, 2, lambda rows: (_ for _ in ()).throw(RuntimeError("shapes differ")))
