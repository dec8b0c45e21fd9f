"""The kernels compile for a GPU that need not be there, and none of them adds atomically."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("compile_kernels.py")


def test_every_kernel_compiles_without_atomics(tmp_path, request):
    pytest.importorskip("triton.backends.nvidia", reason="triton for NVIDIA GPUs is not installed")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(request.config.rootpath)}

    done = subprocess.run([sys.executable, PROGRAM], env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    atomics = json.loads(done.stdout)
    assert set(atomics) == {"compact", "pack", "decode", "chunk", "gradient", "adam"}
    assert set(atomics.values()) == {0}
