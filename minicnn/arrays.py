"""Which array module an array belongs to, and element types; the only file that may import cupy."""

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from .errors import DeviceError, DtypeError

Array = Any  # numpy.ndarray or cupy.ndarray

bool_ = np.dtype(np.bool_)
uint8 = np.dtype(np.uint8)
int8 = np.dtype(np.int8)
int16 = np.dtype(np.int16)
int32 = np.dtype(np.int32)
int64 = np.dtype(np.int64)
float16 = np.dtype(np.float16)
float32 = np.dtype(np.float32)
float64 = np.dtype(np.float64)
DTYPES = (bool_, uint8, int8, int16, int32, int64, float16, float32, float64)


def module_of(x: Array) -> Any:
    """The module whose functions work on x: numpy, or cupy for an array on a GPU."""
    if isinstance(x, (np.ndarray, np.generic)):
        return np
    return sys.modules["cupy"]


def is_array(x: Any) -> bool:
    """True for a numpy array or scalar, or a cupy array; never imports cupy."""
    cupy = sys.modules.get("cupy")
    return isinstance(x, (np.ndarray, np.generic)) or (
        cupy is not None and isinstance(x, cupy.ndarray)
    )


def import_cupy() -> ModuleType:
    """CuPy, or a DeviceError that says how to get it."""
    try:
        import cupy
    except ImportError:
        raise DeviceError(
            "device 'cuda' needs CuPy, which is not installed: "
            "pip install 'minicnn-engine[cuda13]' (or [cuda12] for a CUDA 12 driver)"
        ) from None
    return cupy


def dtype_of(dtype: Any) -> np.dtype:
    """A supported numpy dtype from a dtype, a scalar type or a name; DtypeError otherwise."""
    found = np.dtype(dtype)
    if found not in DTYPES:
        raise DtypeError(
            f"dtype {found} is not supported; use one of {', '.join(map(str, DTYPES))}"
        )
    return found


def from_data(data: Any, dtype: Any = None) -> np.ndarray:
    """A new array of data; arrays keep their dtype, Python's own floats become float32."""
    array = np.array(data, dtype=None if dtype is None else dtype_of(dtype))
    if dtype is None and array.dtype == float64:
        first = data
        while isinstance(first, (list, tuple)) and first:
            first = first[0]
        if isinstance(first, (bool, int, list, tuple)) or type(first) is float:
            array = array.astype(float32)
    dtype_of(array.dtype)
    return array


def is_floating(dtype: np.dtype) -> bool:
    """True for float16, float32 and float64: the types that can have a gradient."""
    return dtype.kind == "f"


def promote(a: np.dtype | None, b: np.dtype | None) -> np.dtype | None:
    """The smallest type that holds both as PyTorch sees it: int64 with float32 is float32."""
    if a is None or b is None or a == b:
        return b if a is None else a
    if (a.kind == "f") != (b.kind == "f"):
        return a if a.kind == "f" else b
    return np.promote_types(a, b)


def result_type(operands: Sequence[Any]) -> np.dtype:
    """The type of an element-wise result by PyTorch's rule.

    Tensors with dimensions decide; 0-dim tensors, and after them Python numbers, count only when
    theirs is a higher kind (bool < integer < floating).
    Source: PyTorch, "Tensor Attributes: torch.dtype", type promotion.
    """
    found: list[np.dtype | None] = [None, None, None]
    for x in operands:
        if is_array(x):
            rank, dtype = (0 if x.ndim else 1), x.dtype
        else:
            rank, dtype = 2, np.dtype(type(x))
            if dtype == float64:
                dtype = float32
        found[rank] = promote(found[rank], dtype)
    result = None
    for lower in found:
        if result is None or lower is None:
            result = result or lower
        elif "biuf".index(lower.kind.replace("u", "i")) > "biuf".index(
            result.kind.replace("u", "i")
        ):
            result = promote(result, lower)
    assert result is not None
    return result


def share_memory(a: Array, b: Array) -> bool:
    """Whether a and b may look at the same memory, as an array and its view do."""
    return a is b or (module_of(a) is module_of(b) and module_of(a).may_share_memory(a, b))


def sum_to(x: Array, shape: tuple[int, ...]) -> Array:
    """Adds up the axes along which `shape` was broadcast: the adjoint of broadcasting."""
    if x.shape == shape:
        return x
    extra = x.ndim - len(shape)
    stretched = tuple(i + extra for i, n in enumerate(shape) if n == 1 and x.shape[i + extra] != 1)
    return x.sum(axis=(*range(extra), *stretched)).reshape(shape)


def add_at(x: Array, index: Any, values: Array) -> None:
    """x[index] += values, where repeated indices add up instead of overwriting."""
    if module_of(x) is np:
        np.add.at(x, index, values)
    else:
        import cupyx

        cupyx.scatter_add(x, index, values)
