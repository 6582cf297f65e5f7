"""Binds operators and methods to Tensor, and makes the functions of the same names.

The table OPERATIONS gives one row per op: its name as a method and as a function.  What needs more
than one call (`max`, which is two ops; `split`, which is slices) is written out below it.
"""

import builtins
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import shapes
from .arrays import bool_, dtype_of, float32, float64, int32, int64, is_array
from .autograd import Function, Tensor, in_place, is_grad_enabled
from .devices import Generator, default_generator, device, to_device
from .errors import ArgumentError
from .ops.activation import LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from .ops.arithmetic import (
    Abs,
    Add,
    BitwiseAnd,
    BitwiseNot,
    BitwiseOr,
    Clamp,
    Div,
    Eq,
    Exp,
    Ge,
    Gt,
    Le,
    Log,
    Lt,
    Mul,
    Ne,
    Neg,
    Pow,
    Sqrt,
    Sub,
    Where,
)
from .ops.linear import MatMul
from .ops.reduction import ArgMax, Max, MaxDim, Mean, Min, MinDim, Sum, TopK, Var
from .ops.shape import (
    Cast,
    Cat,
    Clone,
    Contiguous,
    Expand,
    Index,
    IndexPut,
    Permute,
    Reshape,
    Stack,
    ToDevice,
    plain_index,
    put_values,
)

OPERATIONS: dict[str, type[Function]] = {
    "add": Add,
    "sub": Sub,
    "mul": Mul,
    "div": Div,
    "pow": Pow,
    "neg": Neg,
    "exp": Exp,
    "log": Log,
    "sqrt": Sqrt,
    "abs": Abs,
    "clamp": Clamp,
    "eq": Eq,
    "ne": Ne,
    "lt": Lt,
    "le": Le,
    "gt": Gt,
    "ge": Ge,
    "matmul": MatMul,
    "sum": Sum,
    "mean": Mean,
    "var": Var,
    "argmax": ArgMax,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "relu": ReLU,
    "softmax": Softmax,
    "log_softmax": LogSoftmax,
    "clone": Clone,
    "contiguous": Contiguous,
}

IN_PLACE = ("add", "sub", "mul", "div", "pow", "neg", "exp", "log", "sqrt", "abs", "clamp",
            "sigmoid", "tanh", "relu")  # fmt: skip

OPERATORS: dict[str, type[Function]] = {
    "add": Add,
    "sub": Sub,
    "mul": Mul,
    "truediv": Div,
    "pow": Pow,
    "matmul": MatMul,
    "and": BitwiseAnd,
    "or": BitwiseOr,
    "eq": Eq,
    "ne": Ne,
    "lt": Lt,
    "le": Le,
    "gt": Gt,
    "ge": Ge,
}
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


def _named(f: Callable, name: str, op: type[Function]) -> Callable:
    f.__name__, f.__qualname__, f.__doc__ = name, name, op.__doc__
    return f


def _function(name: str, op: type[Function]) -> Callable:
    return _named(lambda input, *args, **kwargs: op.apply(input, *args, **kwargs), name, op)


def _method_in_place(name: str, op: type[Function]) -> Callable:
    return _named(lambda input, *args, **kw: in_place(input, op, *args, **kw), name + "_", op)


def _operand(x: Any) -> Any:
    """An operator's other side: tensors, arrays and numbers; NotImplemented for anything else."""
    if isinstance(x, (Tensor, bool, int, float)):
        return x
    if isinstance(x, np.generic):
        return x.item()  # a NumPy scalar is a number here, and does not widen float32 to float64
    return Tensor(x) if is_array(x) else NotImplemented


def _operator(name: str, op: type[Function]) -> Callable:
    def forward(self: Tensor, other: Any) -> Any:
        other = _operand(other)
        return other if other is NotImplemented else op.apply(self, other)

    return _named(forward, f"__{name}__", op)


def _reflected(name: str, op: type[Function]) -> Callable:
    def forward(self: Tensor, other: Any) -> Any:
        other = _operand(other)
        return other if other is NotImplemented else op.apply(other, self)

    return _named(forward, f"__r{name}__", op)


def _operator_in_place(name: str, op: type[Function]) -> Callable:
    def forward(self: Tensor, other: Any) -> Any:
        other = _operand(other)
        return other if other is NotImplemented else in_place(self, op, other)

    return _named(forward, f"__i{name}__", op)


# ---- functions that are more than one row ----------------------------------------------------


class ValuesIndices(NamedTuple):
    """What `max(dim)`, `min(dim)` and `topk` return."""

    values: Tensor
    indices: Tensor


def max(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The largest element of all; with dim, (values, indices) of the largest along it.

    VJP of the first: equal ones share g evenly.  Of the second: g goes to the first of them.
    """
    if dim is None:
        return Max.apply(input)
    return ValuesIndices(*MaxDim.apply(input, dim, keepdim))


def min(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The smallest element of all; with dim, (values, indices) of the smallest along it."""
    if dim is None:
        return Min.apply(input)
    return ValuesIndices(*MinDim.apply(input, dim, keepdim))


def topk(
    input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> ValuesIndices:
    """(values, indices) of the k largest (or smallest) elements along dim, in order."""
    return ValuesIndices(*TopK.apply(input, k, dim, largest, sorted))


def where(condition: Tensor, input: Any, other: Any) -> Tensor:
    """input where condition holds, else other."""
    return Where.apply(condition, _operand(input), _operand(other))


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors joined along an existing dimension."""
    return Cat.apply(dim, *tensors)


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape side by side along a new dimension."""
    return Stack.apply(dim, *tensors)


def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The same elements under another shape, of which one size may be -1; a view if it can be."""
    return Reshape.apply(input, shapes.from_args(shape))


def view(input: Tensor, *shape: Any) -> Tensor:
    """reshape: unlike PyTorch's view, it copies where strides allow no view.

    PyTorch's other use, view(dtype), is refused: use `.to(dtype)`.
    """
    if len(shape) == 1 and not isinstance(shape[0], (int, tuple, list, np.integer)):
        raise ArgumentError(f"view: takes a shape, not {shape[0]!r}; for another type use .to()")
    return reshape(input, *shape)


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """The same elements in another tensor's shape."""
    return Reshape.apply(input, other.shape)


def permute(input: Tensor, *dims: Any) -> Tensor:
    """The dimensions in another order, as a view."""
    return Permute.apply(input, shapes.from_args(dims))


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions swapped, as a view."""
    order = list(range(input.ndim))
    a, b = (shapes.axis("transpose", d, input.ndim) for d in (dim0, dim1))
    if order:
        order[a], order[b] = order[b], order[a]
    return Permute.apply(input, tuple(order))


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dimensions start_dim .. end_dim as one."""
    first, last = (shapes.axis("flatten", d, input.ndim) for d in (start_dim, end_dim))
    if first > last:
        raise ArgumentError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    middle = math.prod(input.shape[first : last + 1])
    return Reshape.apply(input, (*input.shape[:first], middle, *input.shape[last + 1 :]))


def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Dimensions of size 1 left out: all of them, or those of `dim`."""
    drop = shapes.axes("squeeze", dim, input.ndim)
    return Reshape.apply(
        input, tuple(n for i, n in enumerate(input.shape) if n != 1 or i not in drop)
    )


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A new dimension of size 1 at `dim`."""
    at = shapes.axis("unsqueeze", dim, input.ndim + 1)
    return Reshape.apply(input, (*input.shape[:at], 1, *input.shape[at:]))


def expand(input: Tensor, *sizes: Any) -> Tensor:
    """Dimensions of size 1 repeated to `sizes`, as a view; -1 keeps a size."""
    return Expand.apply(input, shapes.from_args(sizes))


def split(input: Tensor, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Views of pieces along dim: split_size each (the last may be smaller), or of given sizes."""
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


def std(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The square root of `var`, which takes the same arguments."""
    return Sqrt.apply(Var.apply(input, *args, **kwargs))


def all(input: Tensor) -> Tensor:
    """Whether every element is true (not 0)."""
    return Tensor(np.asarray(input.array.all()))


def any(input: Tensor) -> Tensor:
    """Whether some element is true (not 0)."""
    return Tensor(np.asarray(input.array.any()))


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape and the same elements."""
    return input.shape == other.shape and bool((input.array == other.array).all())


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether |input - other| <= atol + rtol |other| everywhere."""
    return bool(np.allclose(input.array, other.array, rtol, atol, equal_nan))


FUNCTIONS: dict[str, Callable] = {name: _function(name, op) for name, op in OPERATIONS.items()}
for _f in (max, min, topk, where, cat, stack, reshape, permute, transpose, flatten, squeeze,
           unsqueeze, split, std, all, any, equal, allclose):  # fmt: skip
    FUNCTIONS[_f.__name__] = _f


# ---- methods that are no functions -----------------------------------------------------------


def _index(x: Any) -> Any:
    """An index with its tensors as arrays."""
    if isinstance(x, tuple):
        return tuple(i.array if isinstance(i, Tensor) else i for i in x)
    return x.array if isinstance(x, Tensor) else x


def _getitem(self: Tensor, index: Any) -> Tensor:
    return Index.apply(self, _index(index))


def _setitem(self: Tensor, index: Any, value: Any) -> None:
    if is_grad_enabled() and (self.requires_grad or getattr(value, "requires_grad", False)):
        in_place(self, IndexPut, _index(index), value)
        return
    raw = value.array if isinstance(value, Tensor) else value
    put_values(self.array, plain_index(_index(index)), raw)
    self._counter[0] += 1


def _iter(self: Tensor) -> Iterator[Tensor]:
    if self.ndim == 0:
        raise TypeError("iteration over a 0-dim tensor")
    return (self[i] for i in range(self.shape[0]))


def fill_(self: Tensor, value: Any) -> Tensor:
    """Every element becomes value."""
    self[...] = value
    return self


def zero_(self: Tensor) -> Tensor:
    """Every element becomes 0."""
    return fill_(self, 0)


def copy_(self: Tensor, source: Tensor) -> Tensor:
    """The elements become those of source, broadcast to this shape."""
    return fill_(self, source)


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


def size(self: Tensor, dim: int | None = None) -> Any:
    """The shape, or one of its sizes."""
    return self.shape if dim is None else self.shape[shapes.axis("size", dim, self.ndim)]


def stride(self: Tensor) -> tuple[int, ...]:
    """How many elements in memory lie between neighbours along each dimension."""
    return tuple(s // self.array.itemsize for s in self.array.strides)


METHODS: dict[str, Any] = {
    **{name: f for name, f in FUNCTIONS.items() if name not in ("cat", "stack", "where")},
    **{name + "_": _method_in_place(name, OPERATIONS[name]) for name in IN_PLACE},
    **{f"__{name}__": _operator(name, op) for name, op in OPERATORS.items()},
    **{f"__r{n}__": _reflected(n, op) for n, op in OPERATORS.items() if n not in COMPARISONS},
    **{f"__i{n}__": _operator_in_place(n, OPERATORS[n]) for n in ("add", "sub", "mul", "truediv")},
    "__neg__": FUNCTIONS["neg"],
    "__invert__": _function("invert", BitwiseNot),
    "__abs__": FUNCTIONS["abs"],
    "__getitem__": _getitem,
    "__setitem__": _setitem,
    "__iter__": _iter,
    "T": property(lambda self: Permute.apply(self, tuple(reversed(range(self.ndim))))),
    "cpu": lambda self: to(self, device="cpu"),
    "cuda": lambda self, device="cuda": to(self, device=device),
    "float": lambda self: to(self, dtype=float32),
    "double": lambda self: to(self, dtype=float64),
    "long": lambda self: to(self, dtype=int64),
    "int": lambda self: to(self, dtype=int32),
    "bool": lambda self: to(self, dtype=bool_),
    "dim": lambda self: self.ndim,
    "numel": lambda self: self.array.size,
    "is_contiguous": lambda self: self.array.flags.c_contiguous,
    "type": type_,
}
for _f in (view, view_as, expand, fill_, zero_, copy_, uniform_, normal_, to, size, stride):
    METHODS[_f.__name__] = _f
for _name, _method in METHODS.items():
    setattr(Tensor, _name, _method)
