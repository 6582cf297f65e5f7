"""Operators, and the methods and functions that are one op each.

NAMES has the ops that are method and function as they are; those whose arguments differ are
written out below it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import shapes
from ..arrays import is_array, uint8
from ..autograd import Function, Tensor
from ..fusion import settle
from ..inplace import check_writable, in_place, is_recorded
from ..ops import OPS
from ..ops.shape import plain_index, put_values

COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
IN_PLACE = "add sub mul div pow neg exp log sqrt abs clamp sigmoid tanh relu".split()
NAMES = """
    Add Sub Mul Div Pow Neg Exp Log Sqrt Abs Clamp Eq Ne Lt Le Gt Ge MatMul Sum Mean Var ArgMax
    Sigmoid Tanh ReLU Softmax Clone"""
OPERATIONS = {name.lower(): OPS[name] for name in NAMES.split()}
OPERATIONS["log_softmax"] = OPS["LogSoftmax"]
ASSIGNED = ("add", "sub", "mul", "truediv", "pow")  # those with an operator in place: +=, ...
ARITHMETIC = (*ASSIGNED, "matmul", "and", "or")
OPERATORS = {
    name: OPERATIONS[name] for name in ("add", "sub", "mul", "pow", "matmul", *COMPARISONS)
}
OPERATORS |= {"truediv": OPS["Div"], "and": OPS["BitwiseAnd"], "or": OPS["BitwiseOr"]}


def named(f: Callable, name: str, text: str | None) -> Callable:
    """f under this name, with this docstring."""
    f.__name__, f.__qualname__, f.__doc__ = name, name, text
    return f


def _function(name: str, op: type[Function]) -> Callable:
    return named(lambda input, *args, **kwargs: op.apply(input, *args, **kwargs), name, op.__doc__)


def _method_in_place(name: str, op: type[Function]) -> Callable:
    return named(
        lambda input, *args, **kw: in_place(input, op, *args, **kw), name + "_", op.__doc__
    )


def operand(x: Any) -> Any:
    """An operator's other side: tensors, arrays and numbers; NotImplemented for anything else."""
    if isinstance(x, np.generic):
        return x.item()  # a NumPy scalar is a number here, and does not widen float32 to float64
    if isinstance(x, (Tensor, bool, int, float)):
        return x
    return Tensor(x) if is_array(x) else NotImplemented


def _operator(name: str, op: type[Function], call: Callable[..., Tensor]) -> Callable:
    """An operator of two sides: `call` says in which order, and where the result goes."""

    def method(self: Tensor, other: Any) -> Any:
        other = operand(other)
        return other if other is NotImplemented else call(self, op, other)

    return named(method, f"__{name}__", op.__doc__)


def _forward(a: Tensor, op: type[Function], b: Any) -> Tensor:
    return op.apply(a, b)


def _reflected(a: Tensor, op: type[Function], b: Any) -> Tensor:
    return op.apply(b, a)


# ---- functions whose arguments differ from their op's -----------------------------------------


def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The same elements under another shape, of which one size may be -1; a view if it can be."""
    return OPS["Reshape"].apply(input, shapes.from_args(shape))


def permute(input: Tensor, *dims: Any) -> Tensor:
    """The dimensions in another order, as a view."""
    return OPS["Permute"].apply(input, shapes.from_args(dims))


FUNCTIONS: dict[str, Callable] = {name: _function(name, op) for name, op in OPERATIONS.items()}
FUNCTIONS |= {f.__name__: f for f in (reshape, permute)}


# ---- methods that are no functions -----------------------------------------------------------


def _index(x: Any) -> Any:
    """An index with its tensors as arrays; uint8 is PyTorch's older type for masks."""
    if isinstance(x, tuple):
        return tuple(map(_index, x))
    if not isinstance(x, Tensor):
        return x
    return x.array != 0 if x.dtype == uint8 else x.array


def _getitem(self: Tensor, index: Any) -> Tensor:
    return OPS["Index"].apply(self, _index(index))


def _setitem(self: Tensor, index: Any, value: Any) -> None:
    settle()
    if is_recorded("IndexPut", self, value):
        in_place(self, OPS["IndexPut"], _index(index), value)
        return
    check_writable("index", self)
    raw = value.array if isinstance(value, Tensor) else value
    put_values(self.array, plain_index(_index(index), self.array), raw)
    self._counter[0] += 1


def fill_(self: Tensor, value: Any) -> Tensor:
    """Every element becomes value."""
    self[...] = value
    return self


METHODS: dict[str, Any] = {
    **{name + "_": _method_in_place(name, OPERATIONS[name]) for name in IN_PLACE},
    **{f"__{n}__": _operator(n, op, _forward) for n, op in OPERATORS.items()},
    **{f"__r{n}__": _operator(f"r{n}", OPERATORS[n], _reflected) for n in ARITHMETIC},
    **{f"__i{n}__": _operator(f"i{n}", OPERATORS[n], in_place) for n in ASSIGNED},
    "__neg__": FUNCTIONS["neg"],
    "__abs__": FUNCTIONS["abs"],
    "__invert__": _function("__invert__", OPS["BitwiseNot"]),
    "__getitem__": _getitem,
    "__setitem__": _setitem,
    "expand": lambda self, *sizes: OPS["Expand"].apply(self, shapes.from_args(sizes)),
    "fill_": fill_,
    "zero_": lambda self: fill_(self, 0),
    "copy_": fill_,
}
