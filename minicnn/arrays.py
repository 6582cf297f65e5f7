"""Which array module an array belongs to, and element types; the only file that may import cupy."""

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from .errors import DeviceError, DtypeError
from .shapes import check_broadcast

Array = Any  # numpy.ndarray or cupy.ndarray

DTYPES = tuple(map(np.dtype, "? u1 i1 i2 i4 i8 f2 f4 f8".split()))
bool_, uint8, int8, int16, int32, int64, float16, float32, float64 = DTYPES
NUMPY = (np.ndarray, np.generic)
KINDS = {"b": 0, "u": 1, "i": 1, "f": 2}  # bool < integer < floating


def module_of(x: Array) -> Any:
    """The module whose functions work on x: numpy, or cupy for an array on a GPU."""
    if isinstance(x, NUMPY):
        return np
    cupy = sys.modules.get("cupy")
    if cupy is None or not isinstance(x, cupy.ndarray):
        raise TypeError(f"expected a tensor or an array, not {type(x).__name__}")
    return cupy


def is_array(x: Any) -> bool:
    """True for a numpy array or scalar, or a cupy array; never imports cupy."""
    return isinstance(x, (*NUMPY, getattr(sys.modules.get("cupy"), "ndarray", np.ndarray)))


def import_cupy() -> ModuleType:
    """CuPy, or a DeviceError that says how to get it."""
    try:
        import cupy
    except Exception as error:  # a mismatch of binaries is a ValueError
        from .kernels.cuda.driver import missing

        raise DeviceError(missing(error)) from None
    return cupy


def dtype_of(dtype: Any) -> np.dtype:
    """A supported numpy dtype from a dtype, a scalar type or a name; DtypeError otherwise."""
    asked = np.dtype(dtype)
    if asked not in DTYPES:
        raise DtypeError(
            f"dtype {asked} is not supported; use one of {', '.join(map(str, DTYPES))}"
        )
    return asked


def is_floating(dtype: np.dtype) -> bool:
    """True for float16, float32 and float64: the types that can have a gradient."""
    return dtype.kind == "f"


def promote(a: np.dtype | None, b: np.dtype | None) -> Any:
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
    highest: list[Any] = [None, None, None]
    for x in operands:
        rank = 2 if not is_array(x) else 0 if x.ndim else 1
        dtype = x.dtype if is_array(x) else float32 if type(x) is float else np.dtype(type(x))
        highest[rank] = promote(highest[rank], dtype)
    result, *lower = (t for t in highest if t is not None)
    for t in lower:
        if KINDS[t.kind] > KINDS[result.kind]:
            result = promote(result, t)
    return result


def promoted(op: str, operands: Sequence, floats: bool) -> Any:
    """Element-wise operands in their common type; Python numbers stay as they are."""
    if len(operands) == 1 and is_array(operands[0]) and is_floating(operands[0].dtype):
        return operands  # as in most layers
    typed = [a for a in operands if is_array(a) or isinstance(a, (bool, int, float))]
    dtype = result_type(typed)
    if floats and not is_floating(dtype):
        dtype = float32
    check_broadcast(op, [a.shape for a in typed if is_array(a)])
    return tuple(a.astype(dtype, copy=False) if is_array(a) else a for a in operands)


def share_memory(a: Array, b: Array) -> bool:
    """Whether a and b may look at the same memory, as an array and its view do."""
    if a is b or a.base is b.base is None:  # in the latter case both own theirs
        return a is b
    return module_of(a) is module_of(b) and module_of(a).may_share_memory(a, b)


def sum_to(x: Array, shape: tuple[int, ...]) -> Array:
    """Adds up the axes along which `shape` was broadcast: the adjoint of broadcasting."""
    if x.shape == shape:
        return x
    x = x.reshape((1,) * (len(shape) - x.ndim) + x.shape)  # for a value put into fewer dimensions
    extra = x.ndim - len(shape)
    stretched = tuple(i + extra for i, n in enumerate(shape) if n == 1 and x.shape[i + extra] != 1)
    return x.sum(axis=(*range(extra), *stretched)).reshape(shape)
