"""Sums, means, extrema and what else makes a tensor smaller along some of its dimensions."""

from typing import Any

from .. import shapes
from ..arrays import Array, dtype_of, float64, int64, is_floating, module_of
from ..autograd import Function
from ..errors import ArgumentError, DtypeError, ShapeError
from .samples import Samples, on_kink, refused, sample


def _over(rng: Any) -> Samples:
    """What every reduction over `dim` must handle."""
    x = rng.standard_normal((2, 3, 4))
    yield sample(x)
    yield sample(x, 1)
    yield sample(x, -1, keepdim=True)
    yield sample(x, (0, 2))
    yield sample(x, dim=(-1, 0), keepdim=True)
    yield sample(rng.standard_normal((3, 3)), 0)
    yield sample(x.transpose(2, 0, 1)[::-1], 1)
    yield sample(rng.standard_normal((5, 1)), 1)
    yield sample(rng.standard_normal(()))
    yield refused(IndexError, "dim 3 is out of range", x, 3)
    yield refused(ArgumentError, "twice", x, (0, -3))


def _expanded(g: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """A reduced gradient, repeated (as a view) along the axes that were reduced."""
    xp = module_of(g)
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
    return xp.broadcast_to(g.reshape(kept), shape)


class Sum(Function):
    """y = sum of x over `dim` (all dimensions if None); integers and bools sum as int64.

    VJP: every element receives the g of the sum it went into.
    """

    @staticmethod
    def forward(ctx, input, dim=None, keepdim=False, dtype=None):
        ctx.shape, ctx.dtype = input.shape, input.dtype
        ctx.axes = shapes.axes("sum", dim, input.ndim)
        if dtype is None and not is_floating(input.dtype):
            dtype = int64
        return input.sum(ctx.axes, dtype=dtype and dtype_of(dtype), keepdims=keepdim)

    @staticmethod
    def backward(ctx, g):
        return (_expanded(g, ctx.shape, ctx.axes).astype(ctx.dtype, copy=False),)

    @staticmethod
    def samples(rng):
        yield from _over(rng)
        yield sample(rng.standard_normal((0, 3)), 0)
        yield sample(rng.standard_normal((2, 3)), 1, dtype=float64)


class Mean(Function):
    """y = mean of x over `dim` (all dimensions if None).  VJP: g over how many went into the mean.

    Integers are refused, as in PyTorch.
    """

    @staticmethod
    def forward(ctx, input, dim=None, keepdim=False):
        if not is_floating(input.dtype):
            raise DtypeError(
                f"mean: needs a floating type, not {input.dtype}; use x.float().mean()"
            )
        ctx.shape, ctx.axes = input.shape, shapes.axes("mean", dim, input.ndim)
        count = 1
        for a in ctx.axes:
            count *= input.shape[a]
        ctx.count = count
        total = input.sum(ctx.axes, keepdims=keepdim)
        return module_of(input).asarray(total / count if count else total * float("nan"))

    @staticmethod
    def backward(ctx, g):
        return (_expanded(g / ctx.count, ctx.shape, ctx.axes),)

    @staticmethod
    def samples(rng):
        yield from _over(rng)
        yield refused(DtypeError, "floating type", rng.integers(0, 5, (2, 3)))


class Var(Function):
    """y = sum (x - mean)^2 / (n - correction) over `dim`.  VJP: 2 (x - mean) g / (n - correction).

    `unbiased` is PyTorch's older name: True is correction=1 (the default), False is correction=0.
    """

    @staticmethod
    def forward(ctx, input, dim=None, unbiased=None, keepdim=False, correction=1):
        if not is_floating(input.dtype):
            raise DtypeError(f"var: needs a floating type, not {input.dtype}")
        if isinstance(dim, bool):  # var(x, False) is the older var(x, unbiased=False)
            dim, unbiased = None, dim
        correction = correction if unbiased is None else int(unbiased)
        axes = shapes.axes("var", dim, input.ndim)
        centred = input - input.mean(axes, keepdims=True)
        n = input.size // max(1, input.sum(axes).size)
        ctx.divisor = n - correction
        ctx.axes = axes
        ctx.save_for_backward(centred)
        squares = (centred * centred).sum(axes, keepdims=keepdim)
        return squares / ctx.divisor if ctx.divisor > 0 else squares * float("nan")

    @staticmethod
    def backward(ctx, g):
        (centred,) = ctx.saved_tensors
        return (centred * _expanded(2 * g / ctx.divisor, centred.shape, ctx.axes),)

    @staticmethod
    def samples(rng):
        x = rng.standard_normal((2, 3, 4))
        yield sample(x)
        yield sample(x, 1)
        yield sample(x, (0, 2), keepdim=True)
        yield sample(x, -1, correction=0)
        yield sample(x, 0, False)
        yield sample(rng.standard_normal((3, 3)), 0)
        yield sample(x.transpose(2, 0, 1), 0, unbiased=True)
        yield refused(DtypeError, "floating type", rng.integers(0, 5, (2, 3)))


def _extremes(rng: Any) -> Samples:
    yield sample(rng.standard_normal((2, 3, 4)))
    yield sample(rng.standard_normal((3, 3)))
    yield sample(rng.standard_normal((4, 2, 3)).transpose(2, 0, 1)[::-1])
    yield sample(rng.standard_normal(()))
    yield on_kink(rng.integers(0, 3, (3, 4)) * 1.0)
    yield refused(ShapeError, "no element", rng.standard_normal((0, 3)))


def _split_evenly(x: Array, y: Array, g: Array) -> Array:
    winners = (x == y) | (x != x)  # where there is a NaN, y is NaN, and equals nothing
    return winners * (g / winners.sum(dtype=g.dtype))


def _some(op: str, x: Array) -> None:
    if x.size == 0:
        raise ShapeError(f"{op}: a tensor of shape {x.shape} has no element to choose")


class Max(Function):
    """y = the largest element of all.  VJP: g to it; equal ones share it evenly."""

    @staticmethod
    def forward(ctx, input):
        _some("max", input)
        y = input.max()
        ctx.save_for_backward(input, y)
        return y

    @staticmethod
    def backward(ctx, g):
        return (_split_evenly(*ctx.saved_tensors, g),)

    samples = staticmethod(_extremes)


class Min(Function):
    """y = the smallest element of all.  VJP: g to it; equal ones share it evenly."""

    @staticmethod
    def forward(ctx, input):
        _some("min", input)
        y = input.min()
        ctx.save_for_backward(input, y)
        return y

    @staticmethod
    def backward(ctx, g):
        return (_split_evenly(*ctx.saved_tensors, g),)

    samples = staticmethod(_extremes)


def _along(rng: Any) -> Samples:
    x = rng.standard_normal((2, 3, 4))
    yield sample(x, 1)
    yield sample(x, -1, keepdim=True)
    yield sample(rng.standard_normal((3, 3)), 0)
    yield sample(x.transpose(2, 0, 1)[:, ::-1], 1)
    yield sample(rng.standard_normal(()), 0)
    yield on_kink(rng.integers(0, 3, (3, 6)) * 1.0, 1)
    yield refused(IndexError, "dim 3 is out of range", x, 3)
    yield refused(ShapeError, "no element", rng.standard_normal((2, 0)), 1)


def _pick(ctx: Any, x: Array, chooser: str, dim: int, keepdim: bool) -> tuple[Array, Array]:
    """(values, indices) of the first extremum along dim."""
    xp = module_of(x)
    axis = shapes.axis(chooser, dim, x.ndim)
    flat = x.reshape(1) if x.ndim == 0 else x
    if flat.shape[axis] == 0:
        raise ShapeError(f"{chooser}: dim {dim} of shape {x.shape} has no element to choose")
    indices = xp.expand_dims(getattr(xp, chooser)(flat, axis), axis)
    ctx.axis, ctx.shape = axis, x.shape
    ctx.save_for_backward(indices)
    values = xp.take_along_axis(flat, indices, axis)
    shape = x.shape if x.ndim == 0 else values.shape if keepdim else values.squeeze(axis).shape
    return values.reshape(shape), indices.reshape(shape)


def _put_back(ctx: Any, g: Array) -> tuple[Array]:
    """Zeros with g where _pick took its values."""
    (indices,) = ctx.saved_tensors
    xp = module_of(g)
    dx = xp.zeros(ctx.shape or (1,), g.dtype)
    xp.put_along_axis(dx, indices, g.reshape(indices.shape), ctx.axis)
    return (dx.reshape(ctx.shape),)


class MaxDim(Function):
    """(values, indices) of the largest elements along `dim`; of equal ones the first.

    VJP: g to the elements that were chosen.
    """

    @staticmethod
    def forward(ctx, input, dim, keepdim=False):
        return _pick(ctx, input, "argmax", dim, keepdim)

    @staticmethod
    def backward(ctx, g, _):
        return _put_back(ctx, g)

    samples = staticmethod(_along)


class MinDim(Function):
    """(values, indices) of the smallest elements along `dim`; of equal ones the first.

    VJP: g to the elements that were chosen.
    """

    @staticmethod
    def forward(ctx, input, dim, keepdim=False):
        return _pick(ctx, input, "argmin", dim, keepdim)

    @staticmethod
    def backward(ctx, g, _):
        return _put_back(ctx, g)

    samples = staticmethod(_along)


class ArgMax(Function):
    """The index of the largest element along `dim`, or of all in row-major order; the first."""

    @staticmethod
    def forward(ctx, input, dim=None, keepdim=False):
        _some("argmax", input)
        if dim is None:
            found = module_of(input).asarray(input.argmax())
            return found.reshape((1,) * input.ndim) if keepdim else found
        return _pick(ctx, input, "argmax", dim, keepdim)[1]

    @staticmethod
    def samples(rng):
        yield sample(rng.standard_normal((2, 3, 4)))
        yield sample(rng.standard_normal((2, 3)), keepdim=True)
        yield from _along(rng)


class TopK(Function):
    """(values, indices) of the k largest elements along `dim`, largest first; of equal ones the
    first.  With largest=False the k smallest, smallest first.  VJP: g to those chosen.
    """

    @staticmethod
    def forward(ctx, input, k, dim=-1, largest=True, sorted=True):
        xp = module_of(input)
        ctx.axis = axis = shapes.axis("topk", dim, input.ndim)
        x = xp.atleast_1d(input)
        n = x.shape[axis]
        if not 0 <= k <= n:
            raise ArgumentError(f"topk: k={k} is out of range for dim {dim} of size {n}")
        if largest:  # a stable ascending sort of the reversed axis, read from its end
            order = n - 1 - xp.flip(xp.argsort(xp.flip(x, axis), axis, kind="stable"), axis)
        else:
            order = xp.argsort(x, axis, kind="stable")
        indices = xp.take(order, range(k), axis)
        ctx.shape = input.shape
        ctx.save_for_backward(indices)
        values = xp.take_along_axis(x, indices, axis)
        return (values, indices) if input.ndim else (values.reshape(()), indices.reshape(()))

    @staticmethod
    def backward(ctx, g, _):
        return _put_back(ctx, g)

    @staticmethod
    def samples(rng):
        x = rng.standard_normal((2, 5, 4))
        yield sample(x, 2)
        yield sample(x, 3, 1)
        yield sample(x, 2, dim=0, largest=False)
        yield sample(rng.standard_normal((3, 3)), 3)
        yield sample(x.transpose(2, 0, 1)[:, ::-1], 1)
        yield refused(ArgumentError, "k=5", x, 5)
