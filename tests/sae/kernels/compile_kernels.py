"""Compile every Triton kernel for an H100 or H200, without having one; print how often each adds atomically.

A program of its own: Triton's interpreter, once chosen, replaces the compiler for the whole process.
"""

import json
import re

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from sae.kernels import triton_adam, triton_column_kernels, triton_compaction, triton_decode

INT32 = {"feature_ids", "counts", "active_counts", "offsets", "packed_feature_ids", "tokens", "chunk_offsets"}
INT64 = {"chunk_features"}
BFLOAT16 = {"pre_acts", "decoder", "r", "x", "encoder_shadow", "decoder_shadow"}
COLUMNS = {"CHUNK": 256, "ENTRIES": 8, "WIDTH": 1024}
KERNELS = {
    "compact": (triton_compaction._compact_kernel, {"BLOCK": 2048}),
    "pack": (triton_compaction._pack_kernel, {"N_TILES": 3, "BLOCK": 64}),
    "decode": (triton_decode._decode_kernel, {"GATHERS_WINDOW": True, "ENTRIES": 8, "WIDTH": 1024}),
    "chunk": (triton_column_kernels.chunk_kernel, COLUMNS),
    "gradient": (triton_column_kernels.gradient_kernel, {"HAS_TERMS": True, **COLUMNS}),
    "adam": (
        triton_adam._adam_kernel,
        {"HAS_TERMS": True, "HAS_SHADOWS": True, "NORMALISE": True, "N_TILES": 3, **COLUMNS},
    ),
}


def type_of(argument: str, constants: dict[str, int], kernel: str) -> str:
    """Triton's name of an argument's type, as a step with shadows passes it."""
    if argument in constants:
        return "constexpr"
    if argument.endswith("_ptr"):
        name = argument.removesuffix("_ptr")
        if name in INT32 | INT64:
            return "*i32" if name in INT32 else "*i64"
        is_master = name == "decoder" and kernel != "decode"
        return "*bf16" if name in BFLOAT16 and not is_master else "*fp32"
    return "fp32" if argument == "half_window" or "beta" in argument or "eps" in argument else "i32"


def count_atomics(name: str) -> int:
    """Atomic instructions in the kernel's PTX."""
    kernel, constants = KERNELS[name]
    types = {argument: type_of(argument, constants, name) for argument in kernel.arg_names}
    values = {(kernel.arg_names.index(argument),): value for argument, value in constants.items()}
    source = ASTSource(fn=kernel, signature=types, constexprs=values)
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4})
    return len(re.findall(r"\b(?:atom|red)\.", compiled.asm["ptx"]))


if __name__ == "__main__":
    print(json.dumps({name: count_atomics(name) for name in KERNELS}))
