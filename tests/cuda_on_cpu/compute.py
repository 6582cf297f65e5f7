"""How the stand-in computes: NumPy's functions on the device's memory, at once or recorded.

    compute(function, x, 2)   ->   is the result a view of an argument?   then the same memory
                                   else new memory from the pool, in C order as CuPy's, and the work
                                   that fills it goes to the driver, which does or records it

While a stream captures, the values of arrays are not known yet: what a function would return is
found out on zeros, and anything that would need the values (the size of a mask) is refused.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import driver, memory

KEEPS_LAYOUT = {"copy", "astype", "empty_like", "zeros_like", "ones_like", "full_like", "array"}
BOOLEAN_ARRAYS = {"allclose", "array_equal"}  # of which NumPy makes a bool
CUBLAS = {"matmul", "dot", "vdot", "inner", "tensordot", "einsum"}
READS_VALUES = {
    "nonzero", "argwhere", "flatnonzero", "unique", "compress", "extract", "bincount", "histogram",
    "sort", "argsort", "lexsort", "partition", "argpartition", "median", "percentile", "quantile",
    "tobytes", "tofile", "dump", "dumps", "choose", "put",
}  # fmt: skip


class Array:
    """What lies on a device: a NumPy array over its memory.  `arrays.ndarray` is all the rest."""

    __slots__ = ("__weakref__", "_a", "base", "data")
    _a: np.ndarray
    base: "Array | None"
    data: memory.MemoryPointer
    kind: "type[Array]"

    def __init_subclass__(cls) -> None:
        Array.kind = cls


def allocate(shape: Any, dtype: Any, strides: tuple[int, ...] | None = None) -> Any:
    """A new array in C order, or with these strides; full of 1 bits."""
    dtype = np.dtype(dtype)
    shape = (int(shape),) if np.ndim(shape) == 0 else tuple(int(n) for n in shape)
    if dtype.kind not in "biufcV":
        raise ValueError(f"Unsupported dtype {dtype}")
    size = dtype.itemsize
    for n in shape:
        size *= n
    pointer = memory.alloc(size)
    return wrap(np.ndarray(shape, dtype, pointer.mem.bytes, strides=strides), pointer.mem, None)


def wrap(a: np.ndarray, mem: memory.Memory, base: Array | None) -> Any:
    """An array over memory of a device."""
    out = object.__new__(Array.kind)
    out._a, out.base = a, base
    out.data = memory.MemoryPointer(mem, a.ctypes.data - mem.ptr if a.size else 0)
    return out


def from_host(a: np.ndarray, order: str = "K") -> Any:
    """A copy of a NumPy array on the device: a transfer, unless it is 0-dim and filled in."""
    if a.ndim:
        driver.not_while_capturing("a transfer from the host")
    a = np.array(a, order="F" if order == "F" else None, copy=True)
    fortran = order != "C" and a.flags.f_contiguous and not a.flags.c_contiguous
    new = allocate(a.shape, a.dtype, a.strides if fortran else None)
    submit(lambda: np.copyto(new._a, a), [], [new])
    return new


# ---- arguments ---------------------------------------------------------------------------------


def refuse_numpy(x: Any) -> None:
    """CuPy's refusal of a NumPy array where it wants its own."""
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {type(x)}")


def unwrap(x: Any) -> Any:
    """What NumPy's functions get for an argument."""
    return _each(x, lambda array: array._a)


def _each(x: Any, f: Callable[[Array], np.ndarray]) -> Any:
    if isinstance(x, Array):
        return f(x)
    if type(x) in (tuple, list):
        return type(x)(_each(i, f) for i in x)
    if type(x) is dict:
        return {k: _each(v, f) for k, v in x.items()}
    refuse_numpy(x)
    return x


def arrays_in(*arguments: Any) -> Iterator[Any]:
    """All arrays among arguments, in tuples, lists and dicts too."""
    for x in arguments:
        if isinstance(x, Array):
            yield x
        elif isinstance(x, dict):
            yield from arrays_in(*x.values())
        elif isinstance(x, (tuple, list)):
            yield from arrays_in(*x)


def check_device(given: list[Array]) -> None:
    """CuPy's refusal of another device's arrays, where devices cannot reach each other."""
    for g in given:
        if g.data.device_id != driver.machine.device:
            raise ValueError(
                f"The device where the array resides ({g.data.device_id}) is different from the "
                f"current device ({driver.machine.device}). Peer access is unavailable between "
                "these devices."
            )


# ---- computing ---------------------------------------------------------------------------------


def compute(name: str, function: Callable, *args: Any, **kwargs: Any) -> Any:
    """function(*args, **kwargs), whose results are views of arguments, or new arrays."""
    if kwargs.get("out") is not None:
        return _compute_into(name, function, args, kwargs)
    given = list(arrays_in(args, kwargs))
    inner, options = unwrap(args), unwrap(kwargs)
    if driver.capture() is None:
        return _result(name, _quietly(function, inner, options), given, None)
    _refuse_while_capturing(name)
    zeros: list[np.ndarray] = []
    dry = _quietly(function, _zeros(args, zeros), _zeros(kwargs, zeros))
    if _overlaps(dry, zeros):
        real = _quietly(function, inner, options)
        if _overlaps(real, [g._a for g in given]):
            return _result(name, real, given, None)
    return _result(name, dry, given, lambda: _quietly(function, inner, options))


def change(name: str, function: Callable, target: Any, *args: Any, **kwargs: Any) -> None:
    """function(target, *args, **kwargs), which changes the target and returns nothing."""
    a, inner, options = target._a, unwrap(args), unwrap(kwargs)
    if driver.capture() is not None:
        _refuse_while_capturing(name)
        _quietly(function, (np.zeros_like(a), *_zeros(args, [])), _zeros(kwargs, []))
    given = list(arrays_in(args, kwargs))
    submit(lambda: _quietly(function, (a, *inner), options), given, [target])


def submit(work: Callable[[], Any], reads: list[Any], writes: list[Any]) -> None:
    """Has work on these arrays done or recorded."""
    check_device([*reads, *writes])
    driver.submit(work, [r.data.mem.chunk for r in reads], [w.data.mem.chunk for w in writes])


def _compute_into(name: str, function: Callable, args: tuple, kwargs: dict) -> Any:
    """With out=, which CuPy wants to be one array or a tuple of them."""
    out = kwargs["out"]
    targets = out if isinstance(out, tuple) else (out,)
    if not all(isinstance(o, Array) for o in targets):
        raise TypeError("Output arguments type must be cupy.ndarray")
    inner, options = unwrap(args), unwrap(kwargs)
    if driver.capture() is not None:
        _refuse_while_capturing(name)
        _quietly(function, _zeros(args, []), _zeros(kwargs, []))  # for its errors
    submit(lambda: _quietly(function, inner, options), list(arrays_in(args, kwargs)), [*targets])
    return out


def _refuse_while_capturing(name: str) -> None:
    if name in CUBLAS:
        raise NotImplementedError(
            "calling cuBLAS API during stream capture is currently unsupported"
        )
    if name in READS_VALUES:
        driver.not_while_capturing(f"{name} reads values on the host")


def _quietly(function: Callable, args: Any, kwargs: dict) -> Any:
    with np.errstate(all="ignore"):
        return function(*args, **kwargs)


def _zeros(x: Any, made: list[np.ndarray]) -> Any:
    """Arguments for finding out what a function would return, without its values."""

    def zeros(array: Array) -> np.ndarray:
        made.append(np.zeros_like(array._a))
        return made[-1]

    return _each(x, zeros)


def _overlaps(result: Any, arrays: list[np.ndarray]) -> bool:
    """Whether (the first part of) a result looks at memory of one of these arrays."""
    first = result[0] if isinstance(result, (tuple, list)) and result else result
    return isinstance(first, np.ndarray) and any(np.may_share_memory(first, a) for a in arrays)


def _result(name: str, found: Any, given: list[Any], later: Callable[[], Any] | None) -> Any:
    """NumPy's results as arrays of the device; `later` computes their values again."""
    if isinstance(found, (tuple, list)):
        parts = [
            _result(name, part, given, later and (lambda i=i: later()[i]))
            for i, part in enumerate(found)
        ]
        return parts if type(found) is list else tuple(parts)
    if isinstance(found, np.generic) or (isinstance(found, bool) and name in BOOLEAN_ARRAYS):
        found = np.asarray(found)
    if not isinstance(found, np.ndarray):
        return found
    for g in given:
        if found is g._a:
            return g
        if later is None and np.may_share_memory(found, g._a):
            return wrap(found, g.data.mem, g if g.base is None else g.base)
    keep = name in KEEPS_LAYOUT and found.size and _dense(found)
    new = allocate(found.shape, found.dtype, found.strides if keep else None)
    target, work = new._a, later if later is not None else (lambda: found)
    submit(lambda: np.copyto(target, work(), casting="unsafe"), given, [new])
    return new


def _dense(a: np.ndarray) -> bool:
    """Whether an array's elements lie without gaps, in whatever order of the axes."""
    expected = a.itemsize
    for stride, n in sorted((s, n) for s, n in zip(a.strides, a.shape, strict=True) if n > 1):
        if stride != expected:
            return False
        expected *= n
    return True
