"""The stand-in's ndarray: NumPy inside, CuPy's refusals outside."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from . import driver, names
from .compute import Array, allocate, change, compute, from_host
from .shim import LaunchError


class ndarray(Array):
    """As cupy.ndarray; never a numpy.ndarray, and never turned into one without `get`."""

    __slots__ = ()
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __new__(
        cls, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None,
        order: str = "C",
    ) -> "ndarray":  # fmt: skip
        """Uninitialised memory: full of 1 bits here."""
        if memptr is not None or strides is not None:
            raise NotImplementedError("the stand-in for CuPy makes arrays in the pool only")
        return allocate(shape, dtype, np.empty(shape, dtype, "F").strides if order == "F" else None)

    shape = property(lambda self: self._a.shape)
    dtype = property(lambda self: self._a.dtype)
    ndim = property(lambda self: self._a.ndim)
    size = property(lambda self: self._a.size)
    nbytes = property(lambda self: self._a.nbytes)
    itemsize = property(lambda self: self._a.itemsize)
    strides = property(lambda self: self._a.strides)
    flags = property(lambda self: Flags(self))
    device = property(lambda self: driver.Device(self.data.device_id))
    T = property(lambda self: compute("transpose", np.transpose, self))
    __cuda_array_interface__ = property(
        lambda self: {
            "shape": self.shape, "typestr": self.dtype.str, "data": (self.data.ptr, False),
            "strides": None if self.flags.c_contiguous else self.strides, "version": 3,
        }
    )  # fmt: skip

    # ---- to and from the host

    def get(
        self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True
    ) -> np.ndarray:
        """A copy on the host."""
        out = np.empty(self.shape, self.dtype, order) if out is None else out
        with driver.on(stream):
            driver.not_while_capturing("a transfer to the host")
            driver.submit(lambda: np.copyto(out, self._a), [self.data.mem.chunk])
            driver.host_waits("a transfer to the host")
        return out

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        """Copies from the host."""
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if self.dtype != arr.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if self.shape != arr.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not (self.flags.c_contiguous or self.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        with driver.on(stream):
            driver.not_while_capturing("a transfer from the host")
            driver.submit(lambda: np.copyto(self._a, arr), [], [self.data.mem.chunk])

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def item(self) -> Any:
        """The one element as a Python number."""
        return self.get().item()

    def tolist(self) -> Any:
        """The elements as Python numbers in lists."""
        return self.get().tolist()

    __bool__ = lambda self: bool(self.get())  # noqa: E731
    __int__ = lambda self: int(self.get())  # noqa: E731
    __float__ = lambda self: float(self.get())  # noqa: E731
    __complex__ = lambda self: complex(self.get())  # noqa: E731
    __repr__ = lambda self: repr(self.get())  # noqa: E731
    __str__ = lambda self: str(self.get())  # noqa: E731
    __format__ = lambda self, spec: format(self.get(), spec)  # noqa: E731

    # ---- elements

    def __len__(self) -> int:
        return len(self._a)

    def __iter__(self) -> Iterator["ndarray"]:
        return (self[i] for i in range(len(self._a)))

    def __getitem__(self, index: Any) -> "ndarray":
        return compute("getitem", _taken, self, as_index(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        index = as_index(index)
        if isinstance(value, np.ndarray):
            if value.shape != ():
                raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
            value = value.item()
        if isinstance(value, (list, tuple)):
            raise TypeError(f"Unsupported type {type(value)}")
        change("setitem", _put, self, index, value)

    def fill(self, value: Any) -> None:
        """Puts a value everywhere."""
        self[...] = value

    def sort(self, axis: int = -1, kind: Any = None) -> None:
        """Sorts in place."""
        change("sort", np.ndarray.sort, self, axis)

    def copy(self, order: str = "C") -> "ndarray":
        """A copy on the current device."""
        return compute("copy", np.ndarray.copy, self, order)

    def __copy__(self) -> "ndarray":
        return self.copy()

    def __deepcopy__(self, memo: Any) -> "ndarray":
        with self.device:
            return self.copy()

    def __reduce__(self) -> Any:
        return from_host, (self.get(),)

    # ---- everything else that NumPy's arrays have too

    def __getattr__(self, name: str) -> Any:
        names.check_method(name)
        if not hasattr(np.ndarray, name):
            raise NotImplementedError(f"the stand-in for CuPy lacks ndarray.{name}")
        function = getattr(np.ndarray, name)
        if not callable(function):
            return compute(name, lambda a: getattr(a, name), self)

        def method(*args: Any, **kwargs: Any) -> Any:
            names.check_keywords(name, kwargs)
            return compute(name, function, self, *args, **kwargs)

        return method

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        names.check("cupy", ufunc.__name__)
        out = kwargs.get("out")
        if isinstance(out, tuple) and len(out) == 1:
            kwargs["out"] = out[0]
        return compute(ufunc.__name__, getattr(ufunc, method), *args, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if any(not issubclass(t, ndarray) for t in types):
            return NotImplemented
        names.check("cupy", function.__name__)
        return compute(function.__name__, function, *args, **kwargs)


def as_index(index: Any) -> Any:
    """An index as NumPy takes it; arrays and lists of the host are transferred, as CuPy does."""
    parts = index if isinstance(index, tuple) else (index,)
    found = tuple(
        from_host(np.asarray(i)) if isinstance(i, (list, np.ndarray)) else i for i in parts
    )
    if any(isinstance(i, ndarray) and i.dtype == bool for i in found):
        driver.not_while_capturing("counting a mask")
    return found if isinstance(index, tuple) else found[0]


def _has_integers(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(i, np.ndarray) and i.ndim and i.dtype != bool for i in parts)


def _taken(a: np.ndarray, index: Any) -> Any:
    """a[index]; an error where CuPy lets integers wrap around."""
    try:
        return a[index]
    except IndexError as error:
        if not _has_integers(index) or "out of bounds" not in str(error):
            raise
        raise LaunchError(f"CuPy would take another element: {error}") from None


def _put(a: np.ndarray, index: Any, value: Any) -> None:
    """a[index] = value; an error where CuPy might write any of several values."""
    if _has_integers(index) and np.size(value) > 1:
        places = np.arange(a.size).reshape(a.shape)[index]
        values = np.broadcast_to(value, places.shape).ravel()
        _, first, same = np.unique(places.ravel(), return_index=True, return_inverse=True)
        if not np.array_equal(values, values[first[same]], equal_nan=values.dtype.kind == "f"):
            raise LaunchError("CuPy would write any of several values for one element")
    a[index] = value


class Flags:
    """As cupy's flags: what is contiguous, and nothing about writing."""

    def __init__(self, of: ndarray) -> None:
        self.c_contiguous = of._a.flags.c_contiguous
        self.f_contiguous = of._a.flags.f_contiguous
        self.owndata = of.base is None
        self.fnc = self.f_contiguous and not self.c_contiguous
        self.forc = self.f_contiguous or self.c_contiguous

    def __getitem__(self, name: str) -> bool:
        return getattr(self, name.lower())


# ---- operators ---------------------------------------------------------------------------------

BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide,
    "floordiv": np.floor_divide, "mod": np.remainder, "pow": np.power, "and": np.bitwise_and,
    "or": np.bitwise_or, "xor": np.bitwise_xor, "lshift": np.left_shift,
    "rshift": np.right_shift, "matmul": np.matmul,
}  # fmt: skip
COMPARISONS = {
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "eq": np.equal, "ne": np.not_equal, "divmod": np.divmod,
}  # fmt: skip
UNARY = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}


def _define(name: str, ufunc: Any, operands: int) -> None:
    def forward(self: ndarray, *other: Any) -> Any:
        return compute(ufunc.__name__, ufunc, self, *other)

    def reflected(self: ndarray, other: Any) -> Any:
        return compute(ufunc.__name__, ufunc, other, self)

    def in_place(self: ndarray, other: Any) -> Any:
        return compute(ufunc.__name__, ufunc, self, other, out=self)

    setattr(ndarray, f"__{name}__", forward)
    if operands == 2:
        setattr(ndarray, f"__r{name}__", reflected)
        if ufunc is not np.matmul:  # which CuPy has not in place
            setattr(ndarray, f"__i{name}__", in_place)


for _name, _ufunc in BINARY.items():
    _define(_name, _ufunc, 2)
for _name, _ufunc in {**COMPARISONS, **UNARY}.items():
    _define(_name, _ufunc, 1)
