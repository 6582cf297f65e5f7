"""Views, copies, indexing, joining and padding: ops that move elements and compute nothing."""

import itertools
import math
import operator
import weakref
from typing import Any

import numpy as np

from .. import arrays, kernels, shapes
from ..arrays import Array, dtype_of, is_array, module_of, result_type, sum_to
from ..autograd import Function, Tensor
from ..devices import device_of, to_device
from ..errors import ArgumentError, InPlaceError, ShapeError
from ..fusion import Waiting, go_on
from ..kernels import Call, geometry
from .samples import refused, sample


class Reshape(Function):
    """The same elements in row-major order under another shape; a view where strides allow one.

    It is a copy where PyTorch's is one; where that would be a view, it cannot be written.

    VJP: g in the old shape.
    """

    weights, fuses = 0, True

    @classmethod
    def apply(cls, input, shape, view=False):
        """Goes on from an image that waits for its numbers, if each becomes one row."""
        if isinstance(input, Waiting):
            y = input.run.go_on_as_before(cls, input, tuple(shape))
            if y is not None:
                return y
            if rows := _as_rows(input.shape, tuple(shape)):
                return go_on(cls, _flatten(rows, input.dtype), input, options=tuple(shape))
        out = super().apply(input, shape)
        copied = out._base is None
        if copied or input._base is not None:
            like = in_order(input)
            if like is not None:
                view = view or np.may_share_memory(like, like.reshape(out.shape))
            if copied and view:
                stand_for_view(out, input)
            elif like is not None and not (copied or view):
                return Clone.apply(out)
        return out

    @staticmethod
    def forward(ctx, input, shape):
        ctx.shape = input.shape
        try:
            return input.reshape(shape if min(shape, default=0) >= -1 else "negative")
        except (TypeError, ValueError):
            problem = f"{tuple(shape)} does not fit a tensor of {input.size} elements"
            raise ShapeError(f"reshape: shape {problem}; one size may be -1") from None

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
        yield refused(ShapeError, "one size may be -1", x, (-1, -1))


def in_order(input: Tensor) -> np.ndarray | None:
    """An array as PyTorch would lay out this part of an image; None where it is so here.

    Kernels on the CPU may put a batch last in memory, where PyTorch keeps row-major order.
    """
    whole = (input if input._base is None else input._base).array
    order = (*range(1, whole.ndim), 0)
    if whole.flags.c_contiguous or not whole.transpose(order).flags.c_contiguous:
        return None
    like, strides = np.empty(whole.shape, bool), []
    for left in input.array.strides:
        strides.append(0)
        for d in order:
            steps, left = divmod(left, whole.strides[d])
            strides[-1] += steps * like.strides[d]
    return np.lib.stride_tricks.as_strided(like, input.shape, strides)


def copies_of(input: Tensor) -> list[weakref.ref]:
    """Copies that stand for a view, of this and of all tensors over the same memory."""
    if len(input._counter) == 1:
        input._counter.append([])
    copies = input._counter[1]
    copies[:] = [memory for memory in copies if memory() is not None]
    return copies


def stand_for_view(copy: Tensor, input: Tensor) -> None:
    """Forbids to write into a copy that should be a view, and into input while the copy lives."""
    memory = copy.array
    if memory.size and type(memory) is np.ndarray:
        memory.flags.writeable = False
        copies_of(input).append(weakref.ref(memory if memory.base is None else memory.base))


def _as_rows(image: Any, shape: shapes.Shape) -> shapes.Shape | None:
    """(N, C*H*W) if that is the shape asked for of images (N, C, H, W)."""
    rows = image[0], math.prod(image[1:])
    asked = shape in (rows, (rows[0], -1), (-1, rows[1]))
    return rows if asked and len(image) == 4 and math.prod(image) else None


@geometry
def _flatten(rows: shapes.Shape, dtype: Any) -> Call:
    return Call("flatten", rows, dtype)


class Permute(Function):
    """The dimensions in another order, as a view.  VJP: g with the order undone."""

    @staticmethod
    def forward(ctx, input, dims):
        order = [shapes.axis("permute", d, input.ndim) for d in dims]
        if sorted(order) != list(range(input.ndim)):
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
        yield refused(ShapeError, "must name each", x, (0, 0, 1, 2))


class Expand(Function):
    """Dimensions of size 1 repeated, and new ones put in front, as a view; -1 keeps a size.

    VJP: the sum of g over what was repeated.
    """

    @staticmethod
    def forward(ctx, input, shape):
        ctx.shape, new = input.shape, len(shape) - input.ndim
        wanted = [input.shape[i - new] if n == -1 and i >= new else n for i, n in enumerate(shape)]
        try:
            return module_of(input).broadcast_to(input, wanted)
        except ValueError:
            raise ShapeError(f"expand: {input.shape} does not repeat to {tuple(shape)}") from None

    @staticmethod
    def backward(ctx, g):
        return (sum_to(g, ctx.shape),)

    @staticmethod
    def samples(rng):
        yield sample(rng.standard_normal((3, 1)), (3, 4))
        yield sample(rng.standard_normal((3, 1)), (2, -1, 4))
        yield sample(rng.standard_normal(()), (2, 3))
        yield sample(rng.standard_normal((1, 3)), (3, 3))
        yield sample(rng.standard_normal((3, 3)), (2, 3, 3))
        yield sample(rng.standard_normal((1, 4, 1)), (0, -1, 2))
        yield refused(ShapeError, r"does not repeat to \(4, 4\)", rng.random((3, 1)), (4, 4))
        yield refused(ShapeError, "does not repeat", rng.random((3, 1)), (3,))


def plain_index(index: Any, x: Array) -> tuple[tuple, ...]:
    """An index of x as NumPy takes it, in one step, or in two where PyTorch's order asks for it.

    PyTorch applies integers before arrays, so that x[0, :, [1, 2]] is x[0][:, [1, 2]]; NumPy would
    put the array's dimension first.  All steps but the last give views.  Negative steps of slices
    are refused, as in PyTorch.
    """
    parts: list[Any] = []
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, slice) and part.step is not None and operator.index(part.step) < 1:
            raise ArgumentError(f"index: a slice's step must be positive, not {part.step}")
        if is_array(part):  # a copy, because backward needs it as it is now
            number = part.ndim == 0 and part.dtype.kind in "iu"
            part = int(part) if number else to_device(part, device_of(x)).copy()
        parts.append(list(part) if isinstance(part, (list, range)) else part)
    rest = tuple(p for p in parts if type(p) is not int)
    if len(rest) == len(parts) or not any(is_array(p) or isinstance(p, list) for p in rest):
        return (tuple(parts),)
    return tuple(q for p in parts for q in _whole(p)), rest


def _whole(part: Any) -> tuple:
    """What leaves the dimensions that a part of an index speaks of as they are, but an integer."""
    if part is None or type(part) is int or part is ...:
        return () if part is None else (part,)
    mask = is_array(part) and part.dtype.kind == "b"
    return (slice(None),) * (part.ndim if mask else 1)


def view_at(x: Array, steps: tuple[tuple, ...]) -> Array:
    """x after all steps of an index but the last."""
    return view_at(x[steps[0]], steps[1:]) if len(steps) > 1 else x


def _at(x: Array, steps: tuple[tuple, ...]) -> Array:
    try:
        y = kernels.call("take_at", view_at(x, steps), steps[-1])
    except IndexError as error:
        raise IndexError(f"index: {error} (the tensor's shape is {x.shape})") from None
    # One element is a view too, but NumPy gives a number for it; with ... it gives an array.
    return view_at(x, steps)[(*steps[-1], ...)] if isinstance(y, np.generic) else y


class Index(Function):
    """y = x[index]: integers, slices, None, ..., masks and integer arrays, as in NumPy.

    A view for integers and slices, else a copy.  VJP: zeros with g added at the index, so an
    element chosen twice receives both gradients.
    """

    @staticmethod
    def forward(ctx, input, index):
        ctx.shape, ctx.index = input.shape, plain_index(index, input)
        return _at(input, ctx.index)

    @staticmethod
    def backward(ctx, g):
        dx = module_of(g).zeros(ctx.shape, g.dtype)
        kernels.call("add_at", view_at(dx, ctx.index), ctx.index[-1], g)
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
        ctx.index = plain_index(index, input)
        y = input.copy()
        put_values(y, ctx.index, value)
        if ctx.needs_input_grad[2]:
            ctx.shape, ctx.dtype = value.shape, value.dtype
            chosen = _at(y, ctx.index).shape
            order, last = xp.arange(math.prod(chosen)).reshape(chosen), xp.empty(input.shape, int)
            put_values(last, ctx.index, order)
            ctx.save_for_backward(_at(last, ctx.index) == order)  # not overwritten by a repeat
        return y

    @staticmethod
    def backward(ctx, g):
        dx, dvalue = g.copy(), None
        put_values(dx, ctx.index, 0)
        if ctx.needs_input_grad[2]:
            (stayed,) = ctx.saved_tensors
            dvalue = sum_to(_at(g, ctx.index) * stayed, ctx.shape).astype(ctx.dtype, copy=False)
        return dx, None, dvalue

    @staticmethod
    def samples(rng):
        x = rng.standard_normal((4, 5, 3))
        yield sample(x, 1, rng.standard_normal((5, 3)))
        yield sample(x, (slice(None), 2), rng.standard_normal((3,)))
        yield sample(x, (..., slice(0, 2)), 1.5)
        yield sample(x, [0, 2], rng.standard_normal((2, 1, 3)))
        yield sample(x, x > 0.3, 0.0)
        yield sample(rng.standard_normal((3, 3)), slice(None), rng.standard_normal((3, 3)))
        yield sample(rng.standard_normal((3, 3)), 1, rng.standard_normal(3))
        yield refused(ShapeError, "does not fit", x, 1, rng.standard_normal((4, 3)))


def put_values(x: Array, steps: tuple[tuple, ...], value: Any) -> None:
    """x[index] = value, with an error that says what does not fit."""
    if not getattr(x.flags, "writeable", True):
        raise InPlaceError("index: memory is read-only, as after expand(); use a clone()")
    value = to_device(value, device_of(x)) if is_array(value) else value
    try:
        kernels.call("put_at", view_at(x, steps), steps[-1], value)
    except (ValueError, IndexError):
        shape, room = getattr(value, "shape", ()), _at(x, steps).shape
        raise ShapeError(f"index: a value of {shape} does not fit into one of {room}") from None


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


def _one_type(op: str, tensors: tuple) -> tuple[list, tuple[Array, ...]]:
    """The tensors' own types, and the tensors in the type that holds them all."""
    if not tensors:
        raise ArgumentError(f"{op}: needs at least one tensor")
    dtype = result_type(tensors)
    return [t.dtype for t in tensors], tuple(t.astype(dtype, copy=False) for t in tensors)


class Cat(Function):
    """Tensors joined along an existing dimension.  VJP: g cut where they were joined."""

    @staticmethod
    def forward(ctx, dim, *tensors):
        ctx.dtypes, tensors = _one_type("cat", tensors)
        axis = ctx.axis = shapes.axis("cat", dim, tensors[0].ndim)
        for i, t in enumerate(tensors):
            if t.ndim == 0 or _without(t.shape, axis) != _without(tensors[0].shape, axis):
                both = f"tensor {i} has shape {t.shape}, tensor 0 has {tensors[0].shape}"
                raise ShapeError(f"cat: {both}; all sizes but that of dim {dim} must agree")
        ctx.cuts = [0, *itertools.accumulate(t.shape[axis] for t in tensors)]
        return module_of(tensors[0]).concatenate(tensors, axis)

    @staticmethod
    def backward(ctx, g):
        before = (slice(None),) * ctx.axis
        parts = [g[(*before, slice(a, b))] for a, b in itertools.pairwise(ctx.cuts)]
        return None, *(p.astype(d, copy=False) for p, d in zip(parts, ctx.dtypes, strict=True))

    @staticmethod
    def samples(rng):
        a, b = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 5, 4))
        yield sample(1, a, b)
        yield sample(-2, a, b, a)
        yield sample(0, *rng.standard_normal((3, 3, 3)))
        yield sample(2, a.transpose(1, 0, 2)[:, ::-1], rng.standard_normal((3, 2, 0)))
        yield refused(ShapeError, r"tensor 1 has shape \(2, 5, 4\)", 0, a, b)
        yield refused(IndexError, "dim 3 is out of range", 3, a, b)


class Stack(Function):
    """Tensors of one shape side by side along a new dimension.  VJP: g taken apart again."""

    @staticmethod
    def forward(ctx, dim, *tensors):
        ctx.dtypes, tensors = _one_type("stack", tensors)
        first = tensors[0].shape
        for i, t in enumerate(tensors):
            if t.shape != first:
                raise ShapeError(f"stack: tensor {i} has shape {t.shape}, tensor 0 has {first}")
        ctx.axis = shapes.axis("stack", dim, len(first) + 1)
        return module_of(tensors[0]).stack(tensors, ctx.axis)

    @staticmethod
    def backward(ctx, g):
        parts = module_of(g).moveaxis(g, ctx.axis, 0)
        return None, *(p.astype(d, copy=False) for p, d in zip(parts, ctx.dtypes, strict=True))

    @staticmethod
    def samples(rng):
        a, b = rng.standard_normal((2, 3)), rng.standard_normal((2, 3))
        yield sample(0, a, b)
        yield sample(-1, a, b, a)
        yield sample(1, *rng.standard_normal((3, 3, 3)))
        yield sample(0, rng.standard_normal(()), rng.standard_normal(()))
        yield sample(1, rng.standard_normal((3, 2)).T, a[:, ::-1])
        yield refused(ShapeError, r"tensor 1 has shape \(3, 2\)", 0, a, b.T)


NUMPY_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad_or_crop(x: Array, widths: list[tuple[int, int]], value: float = 0) -> Array:
    """x with `value` around it; a negative width crops.  Its adjoint negates the widths."""
    added = [(max(a, 0), max(b, 0)) for a, b in widths]
    kept = [slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths, strict=True)]
    if any(k.start > k.stop for k in kept):
        raise ShapeError(f"pad: cropping {x.shape} by {widths} leaves a negative size")
    if x.ndim == 0:
        return x.copy()  # np.pad refuses it
    return module_of(x).pad(x[tuple(kept)], added, constant_values=value)


class Pad(Function):
    """Elements added around x: `pad` = (left, right, top, bottom, ...), from the last dimension on.

    mode "constant" adds `value` (negative numbers crop), "reflect" mirrors without the border,
    "replicate" repeats the border, "circular" continues at the other side.  VJP: what was copied
    from an element is added to its gradient.
    """

    @staticmethod
    def forward(ctx, input, pad, mode="constant", value=None):
        if len(pad) % 2 or len(pad) > 2 * input.ndim:
            raise ArgumentError(f"pad: {pad} must hold 2 numbers for each of the last dimensions")
        pairs = list(zip(pad[::2], pad[1::2], strict=True))[::-1]  # first dimension first
        ctx.widths = [(0, 0)] * (input.ndim - len(pairs)) + pairs
        ctx.shape, ctx.sources = input.shape, []
        if mode == "constant":
            return pad_or_crop(input, ctx.widths, 0 if value is None else value)
        if mode not in NUMPY_MODES:
            raise ArgumentError(f"pad: mode {mode!r} is not constant, {', '.join(NUMPY_MODES)}")
        if len(pairs) not in (input.ndim - 2, input.ndim - 1) or min(pad) < 0:
            expected = "positive numbers for the image dimensions of (N, C, ...) or (C, ...)"
            raise ArgumentError(f"pad: mode {mode!r} takes {expected}, not {pad} for {input.shape}")
        xp = module_of(input)
        for axis, width in enumerate(ctx.widths):
            n = input.shape[axis]
            limit = {"reflect": n - 1, "circular": n}.get(mode, math.inf)
            if max(width) > limit:
                what = f"at most {limit} to dimension {axis} of size {n}, not {max(width)}"
                raise ArgumentError(f"pad: mode {mode!r} can add {what}")
            source = xp.pad(xp.arange(n), width, mode=NUMPY_MODES[mode]) if any(width) else None
            ctx.sources.append(source)
            input = input if source is None else input.take(source, axis)
        return input

    @staticmethod
    def backward(ctx, g):
        if not ctx.sources:
            return (pad_or_crop(g, [(-a, -b) for a, b in ctx.widths]),)
        for axis, source in enumerate(ctx.sources):
            if source is not None:
                shape = (*g.shape[:axis], ctx.shape[axis], *g.shape[axis + 1 :])
                dx = module_of(g).zeros(shape, g.dtype)
                kernels.call("add_at", dx, (slice(None),) * axis + (source,), g)
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
        for mode in NUMPY_MODES:
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
        yield sample(rng.standard_normal((2, 3)), arrays.float64)
        yield sample(rng.standard_normal((3, 3)).astype(arrays.float32), arrays.float64)
        yield sample(rng.standard_normal((2, 3)), arrays.int64)


class Clone(Function):
    """A copy in memory of its own.  VJP: g."""

    @staticmethod
    def forward(ctx, input):
        return input.copy()

    @staticmethod
    def backward(ctx, g):
        return (g,)

    @staticmethod
    def samples(rng):
        yield sample(rng.standard_normal((2, 3, 4)))
        yield sample(rng.standard_normal((3, 3)).T)
        yield sample(rng.standard_normal((2, 0)))


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
