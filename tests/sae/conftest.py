"""Fixtures of the tests that run Triton's kernels."""

import pytest


@pytest.fixture
def triton_interpreter() -> None:
    """Skips where Triton's kernels would be compiled: the switch is read when triton is first imported."""
    triton = pytest.importorskip("triton", reason="triton is not installed")
    if type(triton.language.sum).__name__ != "InterpretedFunction":
        pytest.skip("triton was imported without TRITON_INTERPRET=1")
