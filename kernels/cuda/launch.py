"""Finds, compiles and launches the kernels of the .cu files; only this file talks to RawModule.

    launch("activation", "activate", x.dtype, grid_of(n), THREADS, x, y, f, n)
            |             |             |                          |
            activation.cu, compiled with REAL=float or double      the types of the signature say
                          extern "C" __global__ void activate(     how many bytes each one gets
                              const real* x, real* y, ...)

CuPy passes a Python int as 8 bytes whatever the kernel expects, so the signatures are read from the
source, and every argument is brought to its type or refused.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.arrays import Array, import_cupy, module_of
from minicnn.errors import DeviceError
from minicnn.kernels.cuda.driver import HOW
from minicnn.shapes import Shape, Window

FOLDER = Path(__file__).parent
THREADS = 256  # of a block, where nothing speaks for another number
MAX_BLOCKS = 4096  # of a grid whose threads take several elements: enough to fill any GPU

_C_NAMES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
_SCALARS = {
    "int": np.dtype(np.int32), "unsigned": np.dtype(np.uint32), "bool": np.dtype(np.bool_),
    "long long": np.dtype(np.int64), "unsigned long long": np.dtype(np.uint64),
    "float": np.dtype(np.float32), "double": np.dtype(np.float64),
    "unsigned char": np.dtype(np.uint8), "signed char": np.dtype(np.int8),
}  # fmt: skip
_KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(([^)]*)\)'
)
_INCLUDE = re.compile(r'^#include "(\w+\.cuh)"\n', re.MULTILINE)


# ---- sources -----------------------------------------------------------------------------------


@cache
def source(file: str) -> str:
    """The text of a .cu file with every .cuh that it includes in its place, each once."""
    included: set[str] = set()

    def text_of(name: str) -> str:
        included.add(name)
        text = (FOLDER / name).read_text()

        def expand(match: re.Match) -> str:
            line = text.count("\n", 0, match.start()) + 2
            inside = "" if match[1] in included else text_of(match[1])
            return f'{inside}#line {line} "{name}"\n'

        return f'#line 1 "{name}"\n' + _INCLUDE.sub(expand, text)

    return text_of(file + ".cu")


def options(dtype: np.dtype) -> tuple[str, ...]:
    """What the compiler is told; nothing that trades accuracy for speed.

    CuPy adds -ftz=true by itself: float32 numbers nearer to 0 than 1.2e-38 count as 0.
    """
    return "--std=c++17", f"-DREAL={_C_NAMES[dtype]}"


@cache
def signatures(file: str) -> dict[str, tuple[str, ...]]:
    """The C types of the arguments of each kernel of a file, without const: "real*", "int"."""
    text = re.sub(r"//[^\n]*", "", source(file))
    return {
        name: tuple(_c_type(p) for p in parameters.split(",") if p.strip())
        for name, parameters in _KERNEL.findall(text)
    }


def _c_type(parameter: str) -> str:
    words = re.sub(r"\b(const|__restrict__)\b", "", parameter).replace("*", " * ").split()
    return " ".join(words[:-1]).replace(" *", "*")


# ---- launching ---------------------------------------------------------------------------------


def launch(
    file: str, kernel: str, dtype: np.dtype, grid: Any, block: Any, *args: Any, shared: int = 0
) -> None:
    """Runs a kernel of `file`.cu, compiled for this element type, on the current stream.

    Parameters
    ----------
    grid, block
        Numbers of blocks and of a block's threads, as a number or up to three.
    args
        CuPy arrays in C order for pointers (None for a null pointer), Python or NumPy numbers,
        NumPy arrays of size 1 for structs.
    shared
        Bytes of dynamic shared memory.

    Raises
    ------
    TypeError
        For an argument that the kernel's signature does not take.
    DeviceError
        For arrays of another GPU than the current one.
    """
    grid, block = ((n,) if isinstance(n, int) else n for n in (grid, block))
    if 0 in grid:  # nothing to do
        return
    cupy = import_cupy()
    function, names, kinds = _function(cupy, file, kernel, dtype)
    if len(args) != len(kinds):
        raise TypeError(f"{kernel}: takes {len(kinds)} arguments, not {len(args)}")
    passed = tuple(
        _argument(cupy, kernel, i, a, name, kind)
        for i, (a, name, kind) in enumerate(zip(args, names, kinds, strict=True))
    )
    function(grid, block, passed, shared_mem=shared)


@cache
def _function(cupy: Any, file: str, kernel: str, dtype: np.dtype) -> tuple[Any, tuple, tuple]:
    """(the compiled kernel, its C types, the NumPy types that they stand for or None)."""
    names = signatures(file)[kernel]
    kinds = []
    for name in names:
        plain = name.rstrip("*")
        kinds.append(dtype if plain == "real" else _SCALARS.get(plain))
    try:
        return _module(cupy, file, dtype).get_function(kernel), names, tuple(kinds)
    except RuntimeError as error:
        if "CUDA headers" not in str(error):
            raise
        raise DeviceError(
            f"device 'cuda' cannot be used: CuPy has no CUDA toolkit to compile with: {HOW}"
        ) from None


@cache
def _module(cupy: Any, file: str, dtype: np.dtype) -> Any:
    return cupy.RawModule(code=source(file), options=options(dtype))


def _argument(cupy: Any, kernel: str, i: int, a: Any, name: str, kind: np.dtype | None) -> Any:
    """An argument as CuPy has to get it, in the width that the kernel expects."""
    if name.endswith("*"):
        if a is None:
            return None
        if not isinstance(a, cupy.ndarray) or not (kind is None or a.dtype == kind):
            given = f"{a.dtype} array" if hasattr(a, "dtype") else type(a).__name__
            raise TypeError(f"{kernel}: argument {i} must be a {name} on the GPU, not a {given}")
        if not a.flags.c_contiguous:
            raise TypeError(f"{kernel}: argument {i} must lie in C order")
        check_current(cupy, a)
        return a
    if kind is None:  # a struct
        if not (isinstance(a, np.ndarray) and a.size == 1):
            raise TypeError(f"{kernel}: argument {i} must be a struct {name}, not {a!r}")
        return a
    return kind.type(a)


def check_current(cupy: Any, a: Array) -> None:
    """Refuses an array of another GPU than the current one, which launches go to."""
    if a.device.id != cupy.cuda.runtime.getDevice():
        raise DeviceError(
            f"a tensor is on cuda:{a.device.id}, which is not the current device; call "
            f"minicnn.cuda.set_device({a.device.id}) first"
        )


# ---- arguments ---------------------------------------------------------------------------------


def grid_of(n: int, threads: int = THREADS) -> int:
    """The number of blocks for a FOR_EACH over n elements."""
    return min(-(-n // threads), MAX_BLOCKS)


def empty(shape: Shape, like: Array, dtype: Any = None) -> Array:
    """New memory in C order beside `like`, of its type if none is given; holds anything."""
    return module_of(like).empty(shape, like.dtype if dtype is None else dtype)


def contiguous(x: Array) -> Array:
    """x itself if it lies in C order, else such a copy."""
    return x if x.flags.c_contiguous else module_of(x).ascontiguousarray(x)


WINDOW = np.dtype([(name, np.int32) for name in "kh kw sh sw ph pw dh dw oh ow".split()])


@cache
def window_of(window: Window) -> np.ndarray:
    """A Window as the struct of common.cuh."""
    return np.array([tuple(n for both in window for n in both)], WINDOW)
