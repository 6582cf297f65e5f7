"""What programs expect of a tensor beyond its ops: shapes, conversion, printing, random filling.

All of it is made of ops, or has nothing to do with gradients; the core does not need it.
"""

import builtins
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import shapes
from .arrays import bool_, dtype_of, float32, float64, int32, int64
from .autograd import Tensor
from .devices import device, device_of, to_device
from .errors import ArgumentError, DeviceError, GradientError
from .methods import fill_, operand, permute, reshape
from .ops import OPS
from .ops.arithmetic import Sqrt
from .ops.reduction import Var
from .ops.shape import Cast, Clone, ToDevice
from .random import Generator, default_generator

# ---- type and device -------------------------------------------------------------------------


def to_arguments(args: tuple, kwargs: dict[str, Any]) -> tuple[device | None, np.dtype | None]:
    """The (device, dtype) that a call of `to` asks for; `non_blocking` is accepted and ignored."""
    wanted = {name: value for name, value in kwargs.items() if name != "non_blocking"}
    for a in args:
        if isinstance(a, Tensor):
            wanted |= {"device": a.device, "dtype": a.dtype}
        elif isinstance(a, device) or (isinstance(a, str) and a.split(":")[0] in ("cpu", "cuda")):
            wanted["device"] = a
        else:
            wanted["dtype"] = a
    where, dtype = wanted.pop("device", None), wanted.pop("dtype", None)
    if wanted:
        raise TypeError(f"to: unexpected argument {', '.join(wanted)}")
    return None if where is None else device(where), None if dtype is None else dtype_of(dtype)


def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """On another device, in another dtype, or both: `to("cpu")`, `to(float64)`, `to(other)`.

    The tensor itself where nothing changes.
    """
    where, dtype = to_arguments(args, kwargs)
    out = self
    if dtype is not None and dtype != self.dtype:
        out = Cast.apply(out, dtype)
    if where is not None and not _is_on(self.device, where):
        out = ToDevice.apply(out, where)
    return out


def _is_on(here: device, wanted: device) -> bool:
    return here.type == wanted.type and wanted.index in (None, here.index)


def type_(self: Tensor, dtype: Any = None) -> Any:
    """In another dtype; without one, the name of this one."""
    return str(self.dtype) if dtype is None else to(self, dtype=dtype)


# ---- shapes ----------------------------------------------------------------------------------


def view(input: Tensor, *shape: Any) -> Tensor:
    """reshape: unlike PyTorch's view, it copies where strides allow no view.

    What is then written into the result is not seen in the input.

    PyTorch's other use, view(dtype), is refused: use `.to(dtype)`.
    """
    if len(shape) == 1 and not isinstance(shape[0], (int, tuple, list, np.integer)):
        raise ArgumentError(f"view: takes a shape, not {shape[0]!r}; for another type use .to()")
    return reshape(input, *shape)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions swapped, as a view."""
    a, b = (shapes.axis("transpose", d, input.ndim) for d in (dim0, dim1))
    return permute(input, [{a: b, b: a}.get(d, d) for d in range(input.ndim)])


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dimensions start_dim .. end_dim as one."""
    first, last = (shapes.axis("flatten", d, input.ndim) for d in (start_dim, end_dim))
    if first > last:
        raise ArgumentError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    middle = math.prod(input.shape[first : last + 1])
    return reshape(input, (*input.shape[:first], middle, *input.shape[last + 1 :]))


def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Dimensions of size 1 left out: all of them, or those of `dim`."""
    drop = shapes.axes("squeeze", dim, input.ndim)
    return reshape(input, [n for i, n in enumerate(input.shape) if n != 1 or i not in drop])


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A new dimension of size 1 at `dim`."""
    at = shapes.axis("unsqueeze", dim, input.ndim + 1)
    return reshape(input, (*input.shape[:at], 1, *input.shape[at:]))


def split(input: Tensor, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Views along dim: pieces of split_size (the last may be smaller), or of the given sizes."""
    axis = shapes.axis("split", dim, input.ndim)
    n = input.shape[axis]
    if isinstance(split_size, int):
        if split_size < 1:
            raise ArgumentError(f"split: split_size must be at least 1, not {split_size}")
        cuts = [*range(0, builtins.max(n, 1), split_size), n]
    else:
        cuts = [0, *itertools.accumulate(split_size)]
        if cuts[-1] != n or builtins.min(split_size, default=0) < 0:
            raise ArgumentError(f"split: sizes {split_size} must add up to dim {dim}'s size, {n}")
    before = (slice(None),) * axis
    return tuple(input[(*before, slice(a, b))] for a, b in itertools.pairwise(cuts))


# ---- other libraries -------------------------------------------------------------------------


def numpy(self: Tensor) -> np.ndarray:
    """The array itself, not a copy.  Raises GradientError if it needs a gradient."""
    if self.requires_grad:
        raise GradientError(
            "numpy(): this tensor requires grad, and what other libraries do with it is not "
            "recorded; use tensor.detach().numpy()"
        )
    if self.device.type != "cpu":
        raise DeviceError(f"numpy(): this tensor is on {self.device}; use tensor.cpu().numpy()")
    return self.array


def _array(self: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    array = numpy(self)
    if copy is False and dtype is not None and np.dtype(dtype) != array.dtype:
        raise ValueError(f"a change to {np.dtype(dtype)} needs a copy")
    return np.array(array, dtype=dtype, copy=bool(copy) or None)


def _dlpack(self: Tensor, **kwargs: Any) -> Any:
    if self.requires_grad:
        raise GradientError("DLPack: this tensor requires grad; export tensor.detach()")
    return self.array.__dlpack__(**kwargs)


def _deepcopy(self: Tensor, memo: dict) -> Tensor:
    if self.grad_fn is not None:
        raise GradientError("deepcopy: only leaves can be copied; use detach().clone()")
    out = memo[id(self)] = type(self)(self.array.copy(), requires_grad=self.requires_grad)
    out.grad = None if self.grad is None else Tensor(self.grad.array.copy())
    return out


# ---- looking at it ---------------------------------------------------------------------------


def _repr(self: Tensor) -> str:
    text = np.array2string(
        to_device(self.array, "cpu"), separator=", ", prefix="tensor(", precision=4, threshold=1000
    )
    if self.dtype not in (float32, int64, bool_) or self.array.size == 0:
        text += f", dtype={self.dtype}"
    if self.device.type != "cpu":
        text += f", device='{self.device}'"
    if self.grad_fn is not None:
        text += f", grad_fn={self.grad_fn}"
    elif self.requires_grad:
        text += ", requires_grad=True"
    return f"tensor({text})"


def _format(self: Tensor, spec: str) -> str:
    return format(self.item(), spec) if self.ndim == 0 else format(repr(self), spec)


def _len(self: Tensor) -> int:
    if self.ndim == 0:
        raise TypeError("a 0-dim tensor has no length")
    return self.shape[0]


def _iter(self: Tensor) -> Iterator[Tensor]:
    return (self[i] for i in range(len(self)))


def size(self: Tensor, dim: int | None = None) -> Any:
    """The shape, or one of its sizes."""
    return self.shape if dim is None else self.shape[shapes.axis("size", dim, self.ndim)]


def stride(self: Tensor) -> tuple[int, ...]:
    """How many elements in memory lie between neighbours along each dimension."""
    return tuple(s // self.array.itemsize for s in self.array.strides)


def contiguous(self: Tensor) -> Tensor:
    """The tensor itself if it lies in memory in row-major order, else such a copy."""
    return self if self.array.flags.c_contiguous else Clone.apply(self)


# ---- random filling --------------------------------------------------------------------------


def uniform_(
    self: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Every element becomes a random number, uniform in [a, b)."""
    numbers = (generator or default_generator).numpy.random(self.shape)
    return fill_(self, to_device((a + (b - a) * numbers).astype(self.dtype), self.device))


def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Every element becomes a random number, normal with this mean and standard deviation."""
    numbers = (generator or default_generator).numpy.standard_normal(self.shape)
    return fill_(self, to_device((mean + std * numbers).astype(self.dtype), self.device))


# ---- functions -------------------------------------------------------------------------------


def where(condition: Tensor, input: Any, other: Any) -> Tensor:
    """input where condition holds, else other."""
    return OPS["Where"].apply(condition, operand(input), operand(other))


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors joined along an existing dimension."""
    return OPS["Cat"].apply(dim, *tensors)


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape side by side along a new dimension."""
    return OPS["Stack"].apply(dim, *tensors)


def _check_dim(name: str, dim: Any) -> None:
    if isinstance(dim, Tensor):
        raise TypeError(f"{name}: takes one tensor; of two, take where(a > b, a, b)")


class ValuesIndices(NamedTuple):
    """What `max(dim)`, `min(dim)` and `topk` return."""

    values: Tensor
    indices: Tensor


def max(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The largest element of all; with dim, (values, indices) of the largest along it.

    VJP of the first: equal ones share g evenly.  Of the second: g goes to the first of them.
    """
    _check_dim("max", dim)
    if dim is None:
        return OPS["Max"].apply(input)
    return ValuesIndices(*OPS["MaxDim"].apply(input, dim, keepdim))


def min(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The smallest element of all; with dim, (values, indices) of the smallest along it."""
    _check_dim("min", dim)
    if dim is None:
        return OPS["Min"].apply(input)
    return ValuesIndices(*OPS["MinDim"].apply(input, dim, keepdim))


def topk(input: Tensor, *args: Any, **kwargs: Any) -> ValuesIndices:
    """topk(k, dim=-1, largest=True, sorted=True): the k largest (or smallest), in order."""
    return ValuesIndices(*OPS["TopK"].apply(input, *args, **kwargs))


def std(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The square root of `var`, which takes the same arguments.  VJP: 0 where it is 0."""
    variance = Var.apply(input, *args, **kwargs)
    zero = variance == 0
    return where(zero, 0.0, Sqrt.apply(where(zero, 1.0, variance)))


def all(input: Tensor) -> Tensor:
    """Whether every element is true (not 0)."""
    return Tensor(input.array.all())


def any(input: Tensor) -> Tensor:
    """Whether some element is true (not 0)."""
    return Tensor(input.array.any())


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape and the same elements."""
    return input.shape == other.shape and bool((input.array == other.array).all())


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether |input - other| <= atol + rtol |other| everywhere."""
    return bool(np.allclose(input.array, other.array, rtol, atol, equal_nan))


FUNCTIONS: dict[str, Callable] = {
    f.__name__: f
    for f in (
        transpose,
        flatten,
        squeeze,
        unsqueeze,
        split,
        where,
        cat,
        stack,
        max,
        min,
        topk,
        std,
        all,
        any,
        equal,
        allclose,
    )
}

METHODS: dict[str, Any] = {
    **{name: f for name, f in FUNCTIONS.items() if name not in ("cat", "stack", "where")},
    "T": property(lambda self: permute(self, *reversed(range(self.ndim)))),
    "view": view,
    "view_as": lambda self, other: reshape(self, other.shape),
    "device": property(lambda self: device_of(self.array)),
    "data": property(lambda self: Tensor(self.array), lambda self, new: _set_data(self, new)),
    "to": to,
    "type": type_,
    "cpu": lambda self: to(self, device="cpu"),
    "cuda": lambda self, device="cuda": to(self, device=device),
    "float": lambda self: to(self, dtype=float32),
    "double": lambda self: to(self, dtype=float64),
    "long": lambda self: to(self, dtype=int64),
    "int": lambda self: to(self, dtype=int32),
    "bool": lambda self: to(self, dtype=bool_),
    "numpy": numpy,
    "tolist": lambda self: self.array.tolist(),
    "__array__": _array,
    "__dlpack__": _dlpack,
    "__dlpack_device__": lambda self: self.array.__dlpack_device__(),
    "__deepcopy__": _deepcopy,
    "__repr__": _repr,
    "__format__": _format,
    "__len__": _len,
    "__iter__": _iter,
    "__bool__": lambda self: bool(self.item()),
    "__int__": lambda self: int(self.item()),
    "__float__": lambda self: float(self.item()),
    "__index__": lambda self: self.item().__index__(),
    "size": size,
    "numel": lambda self: self.array.size,
    "dim": lambda self: self.ndim,
    "stride": stride,
    "is_contiguous": lambda self: self.array.flags.c_contiguous,
    "contiguous": contiguous,
    "uniform_": uniform_,
    "normal_": normal_,
}


def _set_data(self: Tensor, new: Tensor) -> None:
    self.array = new.array


for _name, _method in METHODS.items():
    setattr(Tensor, _name, _method)
