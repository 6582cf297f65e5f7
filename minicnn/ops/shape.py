"""Views, copies, indexing, joining and padding: ops that move elements and compute nothing."""

import math
import operator
from typing import Any

from .. import shapes
from ..arrays import (
    Array,
    add_at,
    dtype_of,
    float32,
    float64,
    int64,
    is_array,
    module_of,
    result_type,
    sum_to,
)
from ..autograd import Function
from ..devices import device_of, to_device
from ..errors import ArgumentError, InPlaceError, ShapeError
from .samples import refused, sample


class Reshape(Function):
    """The same elements in row-major order under another shape; a view where strides allow one.

    VJP: g in the old shape.
    """

    @staticmethod
    def forward(ctx, input, shape):
        ctx.shape = input.shape
        return input.reshape(shapes.infer("reshape", tuple(shape), input.size))

    @staticmethod
    def backward(ctx, g):
        return (g.reshape(ctx.shape),)

    @staticmethod
    def samples(rng):
        x = rng.standard_normal((2, 3, 4))
        yield sample(x, (4, 6))
        yield sample(x, (2, -1))
        yield sample(x.transpose(2, 0, 1), (3, 8))
        yield sample(rng.standard_normal((3, 3)), (3, 3))
        yield sample(rng.standard_normal((1, 1)), ())
        yield sample(rng.standard_normal((0, 3)), (3, 0))
        yield refused(ShapeError, r"shape \(5, 5\) does not fit .* 24 elements", x, (5, 5))
        yield refused(ShapeError, "one -1", x, (-1, -1))


class Permute(Function):
    """The dimensions in another order, as a view.  VJP: g with the order undone."""

    @staticmethod
    def forward(ctx, input, dims):
        order = shapes.axes("permute", tuple(dims), input.ndim) if dims else ()
        if len(order) != input.ndim:
            raise ShapeError(f"permute: dims {tuple(dims)} must name each of {input.ndim} once")
        ctx.inverse = sorted(range(len(order)), key=order.__getitem__)
        return input.transpose(order)

    @staticmethod
    def backward(ctx, g):
        return (g.transpose(ctx.inverse),)

    @staticmethod
    def samples(rng):
        x = rng.standard_normal((2, 3, 4, 5))
        yield sample(x, (3, 0, 2, 1))
        yield sample(x, (0, -1, 1, 2))
        yield sample(rng.standard_normal((3, 3)), (1, 0))
        yield sample(x[:, ::2].transpose(1, 0, 3, 2), (2, 3, 1, 0))
        yield sample(rng.standard_normal(()), ())
        yield refused(ShapeError, "must name each of 4", x, (1, 0))
        yield refused(ArgumentError, "twice", x, (0, 0, 1, 2))


class Expand(Function):
    """Dimensions of size 1 repeated, and new ones put in front, as a view; -1 keeps a size.

    VJP: the sum of g over what was repeated.
    """

    @staticmethod
    def forward(ctx, input, shape):
        ctx.shape = input.shape
        new = len(shape) - input.ndim
        wanted = tuple(
            input.shape[i - new] if n == -1 and i >= new else n for i, n in enumerate(shape)
        )
        fits = new >= 0 and all(
            have in (1, want) for have, want in zip(input.shape, wanted[new:], strict=True)
        )
        if not fits or any(n < 0 for n in wanted):
            raise ShapeError(f"expand: {input.shape} cannot be repeated to {tuple(shape)}")
        return module_of(input).broadcast_to(input, wanted)

    @staticmethod
    def backward(ctx, g):
        return (sum_to(g, ctx.shape),)

    @staticmethod
    def samples(rng):
        yield sample(rng.standard_normal((3, 1)), (3, 4))
        yield sample(rng.standard_normal((3, 1)), (2, -1, 4))
        yield sample(rng.standard_normal(()), (2, 3))
        yield sample(rng.standard_normal((1, 3)), (3, 3))
        yield sample(rng.standard_normal((1, 4, 1)), (0, -1, 2))
        yield refused(ShapeError, r"cannot be repeated to \(4, 4\)", rng.random((3, 1)), (4, 4))
        yield refused(ShapeError, "cannot be repeated", rng.random((3, 1)), (3,))


def plain_index(index: Any) -> Any:
    """A NumPy index from what PyTorch allows; negative steps are refused, as there."""
    parts = index if isinstance(index, tuple) else (index,)
    found = []
    for part in parts:
        if isinstance(part, slice) and part.step is not None and operator.index(part.step) < 1:
            raise ArgumentError(f"index: a slice's step must be positive, not {part.step}")
        if isinstance(part, range):
            part = list(part)
        found.append(part.copy() if is_array(part) else part)  # backward needs it as it is now
    return tuple(found)


def _at(x: Array, index: Any) -> Array:
    try:
        return x[index]
    except IndexError as error:
        raise IndexError(f"index: {error} (the tensor's shape is {x.shape})") from None


class Index(Function):
    """y = x[index]: integers, slices, None, ..., masks and integer arrays, as in NumPy.

    A view for integers and slices, else a copy.  VJP: zeros with g added at the index, so an
    element chosen twice receives both gradients.
    """

    @staticmethod
    def forward(ctx, input, index):
        ctx.shape, ctx.index = input.shape, plain_index(index)
        return _at(input, ctx.index)

    @staticmethod
    def backward(ctx, g):
        dx = module_of(g).zeros(ctx.shape, g.dtype)
        if any((is_array(i) and i.ndim) or isinstance(i, list) for i in ctx.index):
            add_at(dx, ctx.index, g)
        else:
            dx[ctx.index] = g
        return (dx,)

    @staticmethod
    def samples(rng):
        x = rng.standard_normal((4, 5, 3))
        yield sample(x, 1)
        yield sample(x, (-1, slice(1, 4)))
        yield sample(x, (slice(None, None, 2), ..., 1))
        yield sample(x, (None, slice(1, 3), None, 0))
        yield sample(x, [0, 2, 2, 0, 0])
        yield sample(x, (rng.integers(0, 4, (2, 3)), slice(None), rng.integers(0, 3, (2, 3))))
        yield sample(x, x > 0.3)
        yield sample(x, x[:, :, 0] > 0)
        yield sample(rng.standard_normal((3, 3)), (slice(0, 3), slice(None)))
        yield sample(x.transpose(2, 1, 0)[::-1], (slice(0, 0), 2))
        yield refused(IndexError, r"out of bounds.*shape is \(4, 5, 3\)", x, 4)
        yield refused(ArgumentError, "step must be positive", x, slice(None, None, -1))


class IndexPut(Function):
    """y = a copy of x with y[index] = value.  VJP: (g with zeros at the index, g at the index).

    Where an index repeats, the last value stays, so only that one has a gradient.
    """

    @staticmethod
    def forward(ctx, input, index, value):
        xp = module_of(input)
        ctx.index = plain_index(index)
        y = input.copy()
        where = _at(y, ctx.index).shape
        put_values(y, ctx.index, value)
        if ctx.needs_input_grad[2]:
            ctx.shape, ctx.dtype = value.shape, value.dtype
            order = xp.arange(math.prod(where)).reshape(where)
            owner = xp.full(input.shape, -1)
            owner[ctx.index] = order
            ctx.save_for_backward(owner[ctx.index] == order)
        return y

    @staticmethod
    def backward(ctx, g):
        dx = g.copy()
        dx[ctx.index] = 0
        if not ctx.needs_input_grad[2]:
            return dx, None, None
        (stayed,) = ctx.saved_tensors
        return dx, None, sum_to(g[ctx.index] * stayed, ctx.shape).astype(ctx.dtype, copy=False)

    @staticmethod
    def samples(rng):
        x = rng.standard_normal((4, 5, 3))
        yield sample(x, 1, rng.standard_normal((5, 3)))
        yield sample(x, (slice(None), 2), rng.standard_normal((3,)))
        yield sample(x, (..., slice(0, 2)), 1.5)
        yield sample(x, [0, 2], rng.standard_normal((2, 1, 3)))
        yield sample(x, x > 0.3, 0.0)
        yield sample(rng.standard_normal((3, 3)), slice(None), rng.standard_normal((3, 3)))
        yield refused(ShapeError, "does not fit", x, 1, rng.standard_normal((4, 3)))


def put_values(x: Array, index: Any, value: Any) -> None:
    """x[index] = value, with a ShapeError where it does not fit."""
    if not getattr(x.flags, "writeable", True):
        raise InPlaceError(
            "index: this tensor's memory is read-only (as an expanded tensor's, whose elements "
            "share it); change a clone() of it instead"
        )
    try:
        x[index] = value
    except ValueError:
        shape = getattr(value, "shape", ())
        raise ShapeError(
            f"index: a value of shape {shape} does not fit into x[index] of {x[index].shape}"
        ) from None


class Cat(Function):
    """Tensors joined along an existing dimension.  VJP: g cut where they were joined."""

    @staticmethod
    def forward(ctx, dim, *tensors):
        if not tensors:
            raise ArgumentError("cat: needs at least one tensor")
        axis = shapes.axis("cat", dim, tensors[0].ndim)
        first = tensors[0].shape
        for i, t in enumerate(tensors):
            rest = t.shape[:axis] + t.shape[axis + 1 :]
            if t.ndim == 0 or t.ndim != len(first) or rest != first[:axis] + first[axis + 1 :]:
                raise ShapeError(
                    f"cat: tensor {i} has shape {t.shape}, tensor 0 has {first}; all sizes but "
                    f"that of dim {dim} must agree"
                )
        ctx.axis, ctx.dtypes = axis, [t.dtype for t in tensors]
        ctx.sizes = [t.shape[axis] for t in tensors]
        dtype = result_type(tensors)
        return module_of(tensors[0]).concatenate(
            [t.astype(dtype, copy=False) for t in tensors], axis
        )

    @staticmethod
    def backward(ctx, g):
        gradients, start = [], 0
        for size, dtype in zip(ctx.sizes, ctx.dtypes, strict=True):
            part = (slice(None),) * ctx.axis + (slice(start, start + size),)
            gradients.append(g[part].astype(dtype, copy=False))
            start += size
        return None, *gradients

    @staticmethod
    def samples(rng):
        a, b = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 5, 4))
        yield sample(1, a, b)
        yield sample(-2, a, b, a)
        yield sample(0, rng.standard_normal((3, 3)), rng.standard_normal((3, 3)))
        yield sample(2, a.transpose(1, 0, 2)[:, ::-1], rng.standard_normal((3, 2, 0)))
        yield refused(ShapeError, r"tensor 1 has shape \(2, 5, 4\)", 0, a, b)
        yield refused(IndexError, "dim 3 is out of range", 3, a, b)


class Stack(Function):
    """Tensors of one shape side by side along a new dimension.  VJP: g taken apart again."""

    @staticmethod
    def forward(ctx, dim, *tensors):
        if not tensors:
            raise ArgumentError("stack: needs at least one tensor")
        for i, t in enumerate(tensors):
            if t.shape != tensors[0].shape:
                raise ShapeError(
                    f"stack: tensor {i} has shape {t.shape}, tensor 0 has {tensors[0].shape}"
                )
        ctx.axis = shapes.axis("stack", dim, tensors[0].ndim + 1)
        ctx.dtypes = [t.dtype for t in tensors]
        dtype = result_type(tensors)
        return module_of(tensors[0]).stack([t.astype(dtype, copy=False) for t in tensors], ctx.axis)

    @staticmethod
    def backward(ctx, g):
        parts = module_of(g).moveaxis(g, ctx.axis, 0)
        return None, *(p.astype(d, copy=False) for p, d in zip(parts, ctx.dtypes, strict=True))

    @staticmethod
    def samples(rng):
        a, b = rng.standard_normal((2, 3)), rng.standard_normal((2, 3))
        yield sample(0, a, b)
        yield sample(-1, a, b, a)
        yield sample(1, rng.standard_normal((3, 3)), rng.standard_normal((3, 3)))
        yield sample(0, rng.standard_normal(()), rng.standard_normal(()))
        yield sample(1, rng.standard_normal((3, 2)).T, a[:, ::-1])
        yield refused(ShapeError, r"tensor 1 has shape \(3, 2\)", 0, a, b.T)


_NUMPY_MODE = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class Pad(Function):
    """Elements added around x: `pad` = (left, right, top, bottom, ...), from the last dimension on.

    mode "constant" adds `value` (negative numbers crop), "reflect" mirrors without the border,
    "replicate" repeats the border, "circular" continues at the other side.  VJP: what was copied
    from an element is added to its gradient.
    """

    @staticmethod
    def forward(ctx, input, pad, mode="constant", value=None):
        xp = module_of(input)
        if len(pad) % 2 or len(pad) > 2 * input.ndim:
            raise ArgumentError(
                f"pad: pad {pad} must hold 2 numbers for each of the last dimensions"
            )
        if mode != "constant" and mode not in _NUMPY_MODE:
            raise ArgumentError(f"pad: mode {mode!r} is not constant, {', '.join(_NUMPY_MODE)}")
        axes = [input.ndim - 1 - i for i in range(len(pad) // 2)]
        ctx.widths = dict(zip(axes, zip(pad[::2], pad[1::2], strict=True), strict=True))
        ctx.shape, ctx.mode = input.shape, mode
        if mode == "constant":
            return Pad._constant(input, ctx.widths, 0 if value is None else value)
        if len(axes) not in (input.ndim - 2, input.ndim - 1) or min(pad) < 0:
            raise ArgumentError(
                f"pad: mode {mode!r} pads the image dimensions of (N, C, ...) or (C, ...) by "
                f"positive numbers; pad {pad} does not fit {input.ndim} dimensions"
            )
        ctx.sources = {}
        for a, (before, after) in ctx.widths.items():
            limit = {"reflect": input.shape[a] - 1, "circular": input.shape[a]}.get(mode)
            if limit is not None and max(before, after) > limit:
                raise ArgumentError(
                    f"pad: mode {mode!r} can add at most {limit} to dimension {a} of size "
                    f"{input.shape[a]}, not {max(before, after)}"
                )
            ctx.sources[a] = xp.pad(
                xp.arange(input.shape[a]), (before, after), mode=_NUMPY_MODE[mode]
            )
            input = input.take(ctx.sources[a], a)
        return input

    @staticmethod
    def _constant(x: Array, widths: dict[int, tuple[int, int]], value: float) -> Array:
        shape = [n + sum(widths.get(a, (0, 0))) for a, n in enumerate(x.shape)]
        if min(shape, default=0) < 0:
            raise ShapeError(f"pad: cropping {x.shape} by {widths} leaves a negative size")
        y = module_of(x).full(shape, value, x.dtype)
        inside, source = Pad._overlap(x.shape, widths)
        y[inside] = x[source]
        return y

    @staticmethod
    def _overlap(shape: Any, widths: dict[int, tuple[int, int]]) -> tuple[tuple, tuple]:
        """Where x's elements lie in the padded array, and which of x's elements those are."""
        inside, source = [], []
        for a, n in enumerate(shape):
            before, after = widths.get(a, (0, 0))
            source.append(slice(max(-before, 0), n - max(-after, 0)))
            inside.append(
                slice(max(before, 0), max(before, 0) + max(source[-1].stop - source[-1].start, 0))
            )
        return tuple(inside), tuple(source)

    @staticmethod
    def backward(ctx, g):
        xp = module_of(g)
        if ctx.mode == "constant":
            dx = xp.zeros(ctx.shape, g.dtype)
            inside, source = Pad._overlap(ctx.shape, ctx.widths)
            dx[source] = g[inside]
            return (dx,)
        for a, sources in reversed(ctx.sources.items()):
            dx = xp.zeros(g.shape[:a] + ctx.shape[a : a + 1] + g.shape[a + 1 :], g.dtype)
            add_at(dx, (slice(None),) * a + (sources,), g)
            g = dx
        return (g,)

    @staticmethod
    def samples(rng):
        x = rng.standard_normal((2, 3, 4, 5))
        yield sample(x, (1, 2))
        yield sample(x, (1, 0, 2, 3), value=0.5)
        yield sample(x, (-1, 2, 0, -2))
        yield sample(x, (1, 1, 0, 2, 3, 0, 1, 0))
        yield sample(rng.standard_normal((3, 3)), (0, 0))
        for mode in _NUMPY_MODE:
            yield sample(x, (1, 3, 2, 0), mode)
            yield sample(x.transpose(0, 1, 3, 2)[:, :, ::-1], (2, 2, 0, 4), mode=mode)
        yield refused(ArgumentError, "at most 4", x, (5, 0, 0, 0), "reflect")
        yield refused(ArgumentError, "2 numbers for each", x, (1, 2, 3))
        yield refused(ArgumentError, "is not constant", x, (1, 2), "mirror")


class Cast(Function):
    """The same numbers in another element type.  VJP: g in the old type."""

    @staticmethod
    def forward(ctx, input, dtype):
        ctx.dtype = input.dtype
        return input.astype(dtype_of(dtype), copy=False)

    @staticmethod
    def backward(ctx, g):
        return (g.astype(ctx.dtype, copy=False),)

    @staticmethod
    def samples(rng):
        yield sample(rng.standard_normal((2, 3)), float64)
        yield sample(rng.standard_normal((3, 3)).astype(float32), float64)
        yield sample(rng.standard_normal((2, 3)), int64)


class Clone(Function):
    """A copy in memory of its own.  VJP: g."""

    @staticmethod
    def forward(ctx, input):
        return input.copy(order="K")

    @staticmethod
    def backward(ctx, g):
        return (g,)

    @staticmethod
    def samples(rng):
        yield sample(rng.standard_normal((2, 3, 4)))
        yield sample(rng.standard_normal((3, 3)).T)
        yield sample(rng.standard_normal((2, 0)))


class Contiguous(Function):
    """x itself if it lies in memory in row-major order, else such a copy.  VJP: g."""

    @staticmethod
    def forward(ctx, input):
        return module_of(input).ascontiguousarray(input).reshape(input.shape)

    @staticmethod
    def backward(ctx, g):
        return (g,)

    @staticmethod
    def samples(rng):
        yield sample(rng.standard_normal((2, 3, 4)))
        yield sample(rng.standard_normal((3, 3)).T)
        yield sample(rng.standard_normal(()))


class ToDevice(Function):
    """The same array on another device.  VJP: g moved back."""

    @staticmethod
    def forward(ctx, input, device):
        ctx.device = device_of(input)
        return to_device(input, device)

    @staticmethod
    def backward(ctx, g):
        return (to_device(g, ctx.device),)

    @staticmethod
    def samples(rng):
        yield sample(rng.standard_normal((2, 3)), "cpu")
        yield sample(rng.standard_normal((3, 3)), "cpu")
