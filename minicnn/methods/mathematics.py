"""What is computed from elements: choices, extrema, order, norms, comparisons, products."""

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import kernels, shapes
from ..arrays import float32, float64, int64, is_floating, module_of
from ..autograd import Elementwise, Function, Tensor, no_grad
from ..errors import ArgumentError, GradientError, ShapeError
from ..ops import OPS
from ..ops.arithmetic import Sqrt
from ..ops.reduction import Var
from .operators import FUNCTIONS as OPERATIONS
from .operators import METHODS as OPERATORS
from .operators import named, operand
from .shaping import cat, gather, squeeze, stack, transpose, unbind

# ---- of several ops, with their gradients ----------------------------------------------------


def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """input where condition holds, else other; condition alone: `nonzero(as_tuple=True)`."""
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    return OPS["Where"].apply(condition, operand(input), operand(other))


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """value where mask holds, else input; in input's dtype."""
    return where(mask, value, input).to(input.dtype)


def add(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """input + alpha other."""
    return OPERATIONS["add"](input, other if alpha == 1 else alpha * other)


def sub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """input - alpha other."""
    return OPERATIONS["sub"](input, other if alpha == 1 else alpha * other)


def add_(self: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """self += alpha other."""
    return OPERATORS["add_"](self, other if alpha == 1 else alpha * other)


def sub_(self: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """self -= alpha other."""
    return OPERATORS["sub_"](self, other if alpha == 1 else alpha * other)


class ValuesIndices(NamedTuple):
    """What `max(dim)`, `min(dim)`, `sort` and `topk` return."""

    values: Tensor
    indices: Tensor


def max(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element of all; with dim, (values, indices) of the largest along it.

    VJP of the first: equal ones share g evenly.  Of the second: g goes to the first of them.
    `max(a, b)` of two tensors is `maximum(a, b)`.
    """
    if isinstance(dim, Tensor):
        return maximum(input, dim)
    if dim is None:
        return OPS["Max"].apply(input)
    return ValuesIndices(*OPS["MaxDim"].apply(input, dim, keepdim))


def min(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element of all; with dim, (values, indices) of the smallest along it.

    `min(a, b)` of two tensors is `minimum(a, b)`.
    """
    if isinstance(dim, Tensor):
        return minimum(input, dim)
    if dim is None:
        return OPS["Min"].apply(input)
    return ValuesIndices(*OPS["MinDim"].apply(input, dim, keepdim))


def maximum(input: Tensor, other: Tensor) -> Tensor:
    """The larger of two elements, NaN if one is NaN.  VJP: equal ones get g/2 each."""
    return _chosen(input, other, OPERATIONS["gt"](input, other))


def minimum(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of two elements, NaN if one is NaN.  VJP: equal ones get g/2 each."""
    return _chosen(input, other, OPERATIONS["lt"](input, other))


def _chosen(a: Tensor, b: Tensor, first: Tensor) -> Tensor:
    out = where(first | OPERATIONS["ne"](a, a), a, b)  # NaN alone is not equal to itself
    return where(OPERATIONS["eq"](a, b), (a + b) / 2, out) if is_floating(out.dtype) else out


def topk(input: Tensor, *args: Any, **kwargs: Any) -> ValuesIndices:
    """topk(k, dim=-1, largest=True, sorted=True): the k largest (or smallest), in order."""
    return ValuesIndices(*OPS["TopK"].apply(input, *args, **kwargs))


def sort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool = True
) -> ValuesIndices:
    """(values, indices) in order along dim, NaN as the largest; equal ones keep their order.

    VJP: g goes back to where each value came from.
    """
    indices = argsort(input, dim, descending)
    values = gather(input, dim, indices) if input.ndim else OPERATIONS["clone"](input)
    return ValuesIndices(values, indices)


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The indices that sort along dim; always stable."""
    axis, x = shapes.axis("argsort", dim, input.ndim), input.array
    xp = module_of(x)
    if input.ndim == 0:
        return Tensor(xp.zeros((), int64))
    if not descending:
        return Tensor(xp.argsort(x, axis, kind="stable"))
    back = xp.argsort(xp.flip(x, axis), axis, kind="stable")  # so that equal ones keep their order
    return Tensor(x.shape[axis] - 1 - xp.flip(back, axis))


def cumsum(input: Tensor, dim: int) -> Tensor:
    """y[i] = x[0] + ... + x[i] along dim; integers and bools as int64."""
    if not is_floating(input.dtype):
        return Tensor(input.array.cumsum(shapes.axis("cumsum", dim, input.ndim), int64))
    parts = unbind(input, dim)
    return stack(list(itertools.accumulate(parts)), dim) if parts else input


def square(input: Tensor) -> Tensor:
    """x^2."""
    return input * input


def prod(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The product of all elements, or along dim; integers and bools as int64.

    Made of products of one half with the other, so the gradient is right where there are zeros.
    """
    if not is_floating(input.dtype):
        input = input.to(int64)
    x = OPERATIONS["clone"](input.reshape(-1) if dim is None else input)
    axis = shapes.axis("prod", 0 if dim is None else dim, x.ndim)
    if x.ndim == 0:
        return x
    x = transpose(x, 0, axis)
    while len(x) > 1:
        half = len(x) // 2
        pairs = x[:half] * x[half : 2 * half]
        x = cat([pairs, x[2 * half :]]) if len(x) % 2 else pairs
    if len(x) == 0:
        x = Tensor(module_of(x.array).ones((1, *x.shape[1:]), x.dtype))
    x = transpose(x, 0, axis)
    return x if keepdim and dim is not None else squeeze(x, axis)


def std(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The square root of `var`, which takes the same arguments.  VJP: 0 where it is 0."""
    return _root(Var.apply(input, *args, **kwargs))


def norm(input: Tensor, p: Any = 2, dim: Any = None, keepdim: bool = False) -> Tensor:
    """(sum |x|^p)^(1/p) over dim, or the largest |x| for p = inf; "fro" is 2.

    VJP for p = 2: 0 where the norm is 0.
    """
    p = 2 if p == "fro" else p
    if not isinstance(p, (int, float)) or p <= 0:
        raise ArgumentError(f"norm: p must be a number above 0, or 'fro', not {p!r}")
    if p == 2:
        return _root((input * input).sum(dim, keepdim))
    size = OPERATIONS["abs"](input)
    if p == math.inf:
        return size.max() if dim is None else size.max(dim, keepdim).values
    return (size**p).sum(dim, keepdim) ** (1 / p)


def _root(x: Tensor) -> Tensor:
    """The square root, with the slope 0 at 0."""
    zero = OPERATIONS["eq"](x, 0)
    return where(zero, 0.0, Sqrt.apply(where(zero, 1.0, x)))


# ---- of integers, or constant nearly everywhere: without gradient ----------------------------


def _underivable(ctx: Any, *gradients: Any) -> Any:
    """The backward of what PyTorch has no derivative for either."""
    raise GradientError(f"{ctx.op.__name__}: has no derivative; compute it from x.detach()")


class FloorDivide(Elementwise):
    """y = a / b rounded down."""

    @staticmethod
    def forward(ctx, input, other):
        quotient = input // other
        if quotient.dtype.kind != "f" and np.any(other == 0):
            raise ArgumentError("floor_divide: an integer divided by 0")
        return quotient

    backward = staticmethod(_underivable)


def floor_divide(input: Any, other: Any) -> Tensor:
    """The quotient rounded down; a backward through it is refused."""
    return FloorDivide.apply(operand(input), operand(other))


def remainder(input: Any, other: Any) -> Tensor:
    """input - other floor(input / other): it has the divisor's sign, as Python's %."""
    with no_grad():
        quotient = floor_divide(input, other)
    return input + other * -quotient


def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether every element (along dim) is true (not 0)."""
    return Tensor(input.array.all(shapes.axes("all", dim, input.ndim), keepdims=keepdim))


def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether some element (along dim) is true (not 0)."""
    return Tensor(input.array.any(shapes.axes("any", dim, input.ndim), keepdims=keepdim))


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the smallest element (along dim), the first of equal ones."""
    axis = None if dim is None else shapes.axis("argmin", dim, input.ndim)
    return Tensor(input.array.argmin(axis, keepdims=keepdim))


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often (or with which weight) each of the integers 0, 1, 2, ... occurs."""
    xp = module_of(input.array)
    counts = xp.bincount(input.array, minlength=minlength)
    if weights is not None:
        counts = xp.zeros(counts.shape, float32 if weights.dtype == float32 else float64)
        kernels.call("add_at", counts, (input.array,), weights.array)
    return Tensor(counts)


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices (k, ndim) of the k elements that are not 0; or a tuple, (k,) for each dimension.

    The tuple of a 0-dim tensor has one element, as if it were a vector.
    """
    x = input.array
    if as_tuple:
        return tuple(map(Tensor, (x if x.ndim else x.reshape(1)).nonzero()))
    return Tensor(module_of(x).argwhere(x))


class Unique(Function):
    """The different elements; see `unique`."""

    @staticmethod
    def forward(ctx, input, *options):
        return module_of(input).unique(input, False, *options, equal_nan=False)

    backward = staticmethod(_underivable)


def unique(
    input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False
) -> Any:
    """The different elements, always in rising order; a backward through them is refused.

    With the options a tuple: also the place of each element of input among them, how often each
    occurs.
    """
    return Unique.apply(input, return_inverse, return_counts)


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape and the same elements."""
    return input.shape == other.shape and bool((input.array == other.array).all())


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether |input - other| <= atol + rtol |other| everywhere."""
    return bool(np.allclose(input.array, other.array, rtol, atol, equal_nan))


def _of_arrays(name: str, text: str, numpy_name: str = "") -> Callable[..., Tensor]:
    """NumPy's (or CuPy's) function of this name for tensors."""

    def function(input: Tensor, *others: Tensor) -> Tensor:
        arrays = [x.array if isinstance(x, Tensor) else x for x in (input, *others)]
        return Tensor(getattr(module_of(arrays[0]), numpy_name or name)(*arrays))

    return named(function, name, text)


PLAIN = {
    name: _of_arrays(name, *rest)
    for name, *rest in (
        ("isnan", "Whether each element is NaN."),
        ("isinf", "Whether each element is infinite."),
        ("isfinite", "Whether each element is neither NaN nor infinite."),
        ("floor", "Each element rounded down; without gradient, which is 0."),
        ("ceil", "Each element rounded up; without gradient, which is 0."),
        ("round", "Each element rounded, halves to even; without gradient, which is 0."),
        ("sign", "-1, 0 or 1 for each element; without gradient, which is 0."),
        ("logical_and", "Whether both elements are true (not 0)."),
        ("logical_or", "Whether one of both elements is true (not 0)."),
        ("logical_xor", "Whether just one of both elements is true (not 0)."),
        ("logical_not", "Whether each element is 0."),
        ("count_nonzero", "How many elements are not 0."),
    )
}
"""Functions that are NumPy's own, by name."""

# ---- products of matrices --------------------------------------------------------------------


def _product(name: str, dims: tuple[int, int], text: str) -> Callable[[Tensor, Tensor], Tensor]:
    """matmul for operands of just these numbers of dimensions."""

    def function(input: Tensor, other: Tensor) -> Tensor:
        if (input.ndim, other.ndim) != dims:
            raise ShapeError(
                f"{name}: takes tensors of {dims[0]} and {dims[1]} dimensions, not of shapes "
                f"{input.shape} and {other.shape}"
            )
        return OPERATIONS["matmul"](input, other)

    return named(function, name, text)


PRODUCTS = {
    "dot": _product("dot", (1, 1), "The sum of the products of two vectors' elements."),
    "mv": _product("mv", (2, 1), "A matrix times a vector."),
    "mm": _product("mm", (2, 2), "A matrix times a matrix."),
    "bmm": _product("bmm", (3, 3), "A batch of matrices times a batch of matrices."),
}


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """y[i, j] = a[i] b[j] of two vectors."""
    return input.reshape(-1, 1) * vec2
