"""Sums, means, extrema and what else makes a tensor smaller along some of its dimensions."""

from typing import Any

from .. import shapes
from ..arrays import Array, dtype_of, float64, int64, is_floating, module_of
from ..autograd import Function
from ..errors import ArgumentError, DtypeError, ShapeError
from .arithmetic import check_types, no_bools
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
    kept = [1 if i in axes else n for i, n in enumerate(shape)]
    return module_of(g).broadcast_to(g.reshape(kept), shape)


class Sum(Function):
    """y = sum of x over `dim` (all dimensions if None); integers and bools sum as int64.

    VJP: every element receives the g of the sum it went into.
    """

    @staticmethod
    def forward(ctx, input, dim=None, keepdim=False, dtype=None):
        ctx.shape, ctx.dtype = input.shape, input.dtype
        ctx.axes = shapes.axes("sum", dim, input.ndim)
        natural = input.dtype if is_floating(input.dtype) else int64
        return input.sum(ctx.axes, dtype_of(dtype or natural), keepdims=keepdim)

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

    Integers are refused, as in PyTorch; the mean of nothing is NaN.
    """

    @staticmethod
    def forward(ctx, input, dim=None, keepdim=False):
        check_types("mean", input=input)
        ctx.shape, ctx.axes = input.shape, shapes.axes("mean", dim, input.ndim)
        total = input.sum(ctx.axes, keepdims=keepdim)
        ctx.count = input.size // max(1, total.size)
        return total / ctx.count

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
        check_types("var", input=input)
        if isinstance(dim, bool):  # var(x, False) is the older var(x, unbiased=False)
            dim, unbiased = None, dim
        correction = correction if unbiased is None else int(unbiased)
        ctx.axes = shapes.axes("var", dim, input.ndim)
        centred = input - input.mean(ctx.axes, keepdims=True)
        squares = (centred * centred).sum(ctx.axes, keepdims=keepdim)
        ctx.divisor = max(0, input.size // max(1, squares.size) - correction)
        ctx.save_for_backward(centred)
        return squares / ctx.divisor

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
    yield sample(rng.standard_normal((3, 3)) + [[0, 0, 9], [0, 0, 0], [-9, 0, 0]])
    yield sample(rng.standard_normal((4, 2, 3)).transpose(2, 0, 1)[::-1])
    yield sample(rng.standard_normal(()))
    yield on_kink(rng.integers(0, 3, (3, 4)) * 1.0)
    yield refused(ShapeError, "no element", rng.standard_normal((0, 3)))


class Max(Function):
    """y = the largest element of all.  VJP: g to it; equal ones share it evenly."""

    find = "max"

    @classmethod
    def forward(cls, ctx, input):
        if input.size == 0:
            raise ShapeError(f"{cls.find}: a tensor of {input.shape} has no element to choose")
        y = getattr(input, cls.find)()
        ctx.save_for_backward(input, y)
        return y

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        winners = (x == y) | (x != x)  # where there is a NaN, y is one, and equals nothing
        return (module_of(g).where(winners, g / int(winners.sum()), 0).astype(x.dtype),)

    samples = staticmethod(_extremes)


class Min(Max):
    """y = the smallest element of all.  VJP: g to it; equal ones share it evenly."""

    find = "min"


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


def _put_back(ctx: Any, g: Array) -> Array:
    """Zeros with g at the indices that forward chose."""
    (indices,) = ctx.saved_tensors
    dx = module_of(g).zeros(ctx.shape or 1, g.dtype)
    module_of(g).put_along_axis(dx, indices, g.reshape(indices.shape), ctx.axis)
    return dx.reshape(ctx.shape)


class MaxDim(Function):
    """(values, indices) of the largest elements along `dim`; of equal ones the first.

    VJP: g to the elements that were chosen.
    """

    find = "argmax"

    @classmethod
    def forward(cls, ctx, input, dim, keepdim=False):
        xp, x = module_of(input), input.reshape(input.shape or 1)
        ctx.axis, ctx.shape = shapes.axis(cls.find, dim, input.ndim), input.shape
        if x.shape[ctx.axis] == 0:
            raise ShapeError(f"{cls.find}: dim {dim} of {input.shape} has no element to choose")
        indices = xp.expand_dims(getattr(xp, cls.find)(x, ctx.axis), ctx.axis)
        ctx.save_for_backward(indices)
        values = xp.take_along_axis(x, indices, ctx.axis)
        keep = keepdim and input.ndim > 0
        return (values, indices) if keep else (values.squeeze(ctx.axis), indices.squeeze(ctx.axis))

    @staticmethod
    def backward(ctx, g, _):
        return (_put_back(ctx, g),)

    samples = staticmethod(_along)


class MinDim(MaxDim):
    """(values, indices) of the smallest elements along `dim`; of equal ones the first.

    VJP: g to the elements that were chosen.
    """

    find = "argmin"


class ArgMax(Function):
    """The index of the largest element along `dim`, or of all in row-major order; the first."""

    @staticmethod
    def forward(ctx, input, dim=None, keepdim=False):
        no_bools("argmax", input)
        if dim is not None:
            return MaxDim.forward(ctx, input, dim, keepdim)[1]
        index = MaxDim.forward(ctx, input.reshape(input.size), 0)[1]
        return index.reshape((1,) * input.ndim) if keepdim else index

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
        xp, x = module_of(input), input.reshape(input.shape or 1)
        ctx.axis, ctx.shape = shapes.axis("topk", dim, input.ndim), input.shape
        n = x.shape[ctx.axis]
        if not 0 <= k <= n:
            raise ArgumentError(f"topk: k={k} is out of range for dim {dim} of size {n}")
        flip = (lambda a: xp.flip(a, ctx.axis)) if largest else (lambda a: a)
        order = flip(xp.argsort(flip(x), ctx.axis, kind="stable"))  # of equal ones the first
        indices = xp.take(n - 1 - order if largest else order, range(k), ctx.axis)
        ctx.save_for_backward(indices)
        values = xp.take_along_axis(x, indices, ctx.axis)
        return (values, indices) if input.ndim else (values.reshape(()), indices.reshape(()))

    @staticmethod
    def backward(ctx, g, _):
        return (_put_back(ctx, g),)

    @staticmethod
    def samples(rng):
        x = rng.standard_normal((2, 5, 4))
        yield sample(x, 2)
        yield sample(x, 3, 1)
        yield sample(x, 2, dim=0, largest=False)
        yield sample(rng.standard_normal((3, 3)), 3)
        yield sample(x.transpose(2, 0, 1)[:, ::-1], 1)
        yield refused(ArgumentError, "k=5", x, 5)
